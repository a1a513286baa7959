"""Objects of the simulated org as SOQL sees them: their fields, and their rows from the state."""

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from activities.systems.salesforce.peer.logs import FIELDS as FILE_FIELDS
from activities.systems.salesforce.peer.logs import log_files
from activities.systems.salesforce.peer.soql import Instant, Query, QueryError, value_of
from activities.systems.salesforce.peer.state import ALL_PERMISSIONS, Org, Principal

MODEL_FIELDS = ("Churn_Score__c", "Churn_Model__c")
"""Fields of an account that a model writes: its score, and which version wrote it."""
HISTORY_FIELDS = ("Id", "AccountId", "Field", "DataType", "OldValue", "NewValue", "CreatedDate", "CreatedById")
UNFILTERED = ("oldvalue", "newvalue")
"""Fields that Salesforce does not let a query filter by."""
FIELDS: dict[str, tuple[str, ...]] = {
    "User": ("Id", "Username", "Name", "IsActive", "UserType", "CreatedDate", "LastLoginDate"),
    "UserLogin": ("Id", "UserId", "IsFrozen", "IsPasswordLocked"),
    "OauthToken": (
        "Id",
        "AppName",
        "AppMenuItemId",
        "UserId",
        "UseCount",
        "LastUsedDate",
        "CreatedDate",
        "DeleteToken",
    ),
    "AuthSession": (
        "Id",
        "UsersId",
        "SessionType",
        "LoginType",
        "SourceIp",
        "ParentId",
        "IsCurrent",
        "CreatedDate",
        "LastModifiedDate",
        "NumSecondsValid",
        "SessionSecurityLevel",
        "LoginHistoryId",
    ),
    "LoginHistory": (
        "Id",
        "UserId",
        "LoginTime",
        "SourceIp",
        "LoginType",
        "Status",
        "Application",
        "ClientVersion",
        "ApiType",
        "ApiVersion",
        "LoginUrl",
        "Browser",
        "Platform",
    ),
    "SetupAuditTrail": ("Id", "Action", "Section", "Display", "CreatedDate", "CreatedById", "DelegateUser"),
    "EventLogFile": FILE_FIELDS,
    "ConnectedApplication": (
        "Id",
        "Name",
        "OptionsAllowAdminApprovedUsersOnly",
        "CreatedDate",
        "LastModifiedDate",
    ),
    "UserPermissionAccess": tuple(f"Permissions{name}" for name in sorted(ALL_PERMISSIONS)),
    "Organization": ("Id", "Name", "OrganizationType", "InstanceName", "IsSandbox"),
    "BulkApi2EventLog": ("EventDate", "UserId", "JobIdentifier", "JobStatus", "ObjectType", "OperationType"),
    "Account": ("Id", "Name", *MODEL_FIELDS, "CreatedDate", "LastModifiedDate", "LastModifiedById"),
    "AccountHistory": HISTORY_FIELDS,
    "FieldDefinition": ("QualifiedApiName", "IsFieldHistoryTracked", "EntityDefinition.QualifiedApiName"),
    "Contact": ("Id", "Name", "Email"),
    "Case": ("Id", "Subject", "Description"),
}
DATES = {"CreatedDate", "LastUsedDate", "LastModifiedDate", "LoginTime", "LogDate", "EventDate", "LastLoginDate"}
MAX_ROWS = {"OauthToken": 2500}
MAX_PAGE = {"OauthToken": 500}
NEEDED = {"EventLogFile": "ViewEventLogFiles", "SetupAuditTrail": "ViewSetup", "LoginHistory": "ManageUsers"}


def check(query: Query) -> str:
    """The object's name as it is spelled, if the query fits it.

    Raises:
        QueryError: No such object or field, or a quoted date-time.
    """
    table = next((name for name in FIELDS if name.lower() == query.table.lower()), None)
    if table is None:
        raise QueryError(f"sObject type '{query.table}' is not supported.", "INVALID_TYPE")
    known = {name.lower() for name in FIELDS[table]}
    for name in (*query.fields, *(name for name, _ in query.named), *(name for name, _ in query.order)):
        if name.lower() not in known:
            raise QueryError(f"No such column '{name}' on entity '{table}'.", "INVALID_FIELD")
    dates = {name.lower() for name in DATES}
    for name, value in query.named:
        if name.lower() in UNFILTERED:
            raise QueryError(f"field '{name}' can not be filtered in a query call", "INVALID_FIELD")
        if (name.lower() in dates) != isinstance(value, Instant) and value is not None:
            raise QueryError(
                f"value of filter criterion for field '{name}' must be of another type and not be enclosed in quotes",
                "INVALID_FIELD",
            )
    return table


def rows(org: Org, table: str, who: Principal) -> list[dict[str, Any]]:
    """All rows of an object that this user may see."""
    if table in NEEDED and NEEDED[table] not in who.user.permissions:
        raise QueryError(f"sObject type '{table}' is not supported.", "INVALID_TYPE")
    return list(_SOURCES[table](org, who)) if table in _SOURCES else org.rows.get(table, [])


def shown(org: Org, table: str, row: dict[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    """A row as JSON with the fields asked for."""
    spelled = {name.lower(): name for name in FIELDS[table]}
    answer: dict[str, Any] = {"attributes": {"type": table}}
    if row.get("Id"):
        answer["attributes"]["url"] = f"/services/data/v65.0/sobjects/{table}/{row['Id']}"
    for name in fields:
        value = value_of(row, name)
        answer[spelled[name.lower()]] = stamped(value) if isinstance(value, datetime) else value
    return answer


def stamped(at: datetime) -> str:
    """Salesforce's spelling of an instant."""
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}+0000"


def _users(org: Org, who: Principal) -> Iterable[dict[str, Any]]:
    for user in org.users.values():
        yield {
            "Id": user.id,
            "Username": user.username,
            "Name": user.name,
            "IsActive": user.active,
            "UserType": user.user_type,
            "CreatedDate": org.started - timedelta(days=400),
        }


def _user_logins(org: Org, who: Principal) -> Iterable[dict[str, Any]]:
    for user in org.users.values():
        if "ManageUsers" in who.user.permissions or user is who.user:
            yield {"Id": user.login_id, "UserId": user.id, "IsFrozen": user.frozen, "IsPasswordLocked": False}


def _grants(org: Org, who: Principal) -> Iterable[dict[str, Any]]:
    for grant in org.grants.values():
        if "CustomizeApplication" not in who.user.permissions and grant.user != who.user.id:
            continue
        yield {
            "Id": None,
            "AppName": org.apps[grant.app].name,
            "AppMenuItemId": None,
            "UserId": grant.user,
            "UseCount": grant.uses,
            "LastUsedDate": grant.last_used,
            "CreatedDate": grant.created,
            "DeleteToken": grant.delete_token,
        }


def _sessions(org: Org, who: Principal) -> Iterable[dict[str, Any]]:
    for session in org.sessions.values():
        if "ManageUsers" not in who.user.permissions and session.user != who.user.id:
            continue
        yield {
            "Id": session.id,
            "UsersId": session.user,
            "SessionType": session.type,
            "LoginType": session.login_type,
            "SourceIp": session.source_ip,
            "ParentId": session.parent,
            "IsCurrent": session is who.session,
            "CreatedDate": session.created,
            "LastModifiedDate": session.used or session.created,
            "NumSecondsValid": session.seconds_valid,
            "SessionSecurityLevel": "STANDARD",
        }


def _apps(org: Org, who: Principal) -> Iterable[dict[str, Any]]:
    for app in org.apps.values():
        made = org.started - timedelta(days=300)
        yield {
            "Id": app.id,
            "Name": app.name,
            "OptionsAllowAdminApprovedUsersOnly": bool(app.preauthorised),
            "CreatedDate": made,
            "LastModifiedDate": made,
        }


def _bulk_events(org: Org, who: Principal) -> Iterable[dict[str, Any]]:
    for event in org.events:
        if event.type == "BulkApi2":
            yield {
                "EventDate": event.at,
                "UserId": event.user,
                "JobIdentifier": event.fields.get("JOB_ID"),
                "JobStatus": event.fields.get("JOB_STATUS"),
                "ObjectType": event.fields.get("ENTITY_NAME"),
                "OperationType": event.fields.get("OPERATION_TYPE"),
            }


def _organization(org: Org, who: Principal) -> Iterable[dict[str, Any]]:
    yield {"Id": org.id, "Name": org.host.split(".")[0], "OrganizationType": "Enterprise Edition", "IsSandbox": False}


def _definitions(org: Org, who: Principal) -> Iterable[dict[str, Any]]:
    for name in FIELDS["Account"]:
        yield {
            "QualifiedApiName": name,
            "IsFieldHistoryTracked": name in org.tracked,
            "EntityDefinition": {"QualifiedApiName": "Account"},
        }


_SOURCES: dict[str, Callable[[Org, Principal], Iterable[dict[str, Any]]]] = {
    "User": _users,
    "FieldDefinition": _definitions,
    "AccountHistory": lambda org, who: org.history,
    "UserLogin": _user_logins,
    "OauthToken": _grants,
    "AuthSession": _sessions,
    "ConnectedApplication": _apps,
    "BulkApi2EventLog": _bulk_events,
    "Organization": _organization,
    "UserPermissionAccess": lambda org, who: [
        {f"Permissions{name}": name in who.user.permissions for name in ALL_PERMISSIONS}
    ],
    "LoginHistory": lambda org, who: org.logins,
    "SetupAuditTrail": lambda org, who: org.audit,
    "EventLogFile": lambda org, who: [file.row for file in log_files(org)],
}
