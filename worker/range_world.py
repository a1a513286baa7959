"""The simulated company of a seed: its people, its stolen integration, its innocent one, and Stanch's own."""

import random
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from activities.systems.salesforce.peer.state import ALL_PERMISSIONS, App, Grant, Job, Org, Session, User
from worker.range_record import Record

COMPANIES = ("nordlicht", "quellwerk", "harborline", "calmere", "tindale", "ostwind", "fairmoor", "larkfield")
FIRST = ("Amal", "Birgit", "Chidi", "Dana", "Emre", "Freya", "Goran", "Hanna", "Ivo", "Jana", "Kofi", "Lena", "Mira")
LAST = ("Acker", "Brandt", "Costa", "Dietz", "Eklund", "Faber", "Grau", "Holm", "Ito", "Jansen", "Krol", "Lund")
STOLEN = ("DriftBridge Chat", "LeadPulse Sync", "ChatHarbor Connect", "DealSonar", "FunnelWire", "Talkbeam CRM Link")
INNOCENT = ("LedgerPort ERP", "Postbote Mailer", "Kontor Invoicing", "StockRelay", "ShipTrail")
EXFIL = ("203.0.113.77", "198.51.100.23", "203.0.113.140", "198.51.100.91")
STANCH_APP = "Stanch"


@dataclass
class World:
    """An org and who is who in it."""

    org: Org
    company: str
    stanch: App
    stanch_key: str
    """PEM private key of Stanch's integration."""
    stanch_user: User
    stolen: App
    victims: list[User]
    stolen_grants: list[Grant]
    attacker_sessions: list[Session]
    running_jobs: list[Job]
    late_job: Job
    deleted_job: str
    innocent: App
    innocent_user: User
    innocent_grant: Grant
    bystanders: list[User]
    others: frozenset[str]
    """Ids of everybody else's users, tokens, sessions and jobs, which no step has a reason to touch."""
    attacker_ip: str

    @property
    def integrations(self) -> dict[str, str]:
        """Consumer key to actor."""
        return {self.stanch.consumer_key: "stanch"}


def make_world(seed: int, record: Record) -> World:
    """Make the company of a seed. Names, ids and counts follow from it; instants are around now."""
    rng = random.Random(f"stanch range {seed}")
    company = rng.choice(COMPANIES)
    org = Org(rng, record, f"{company}-{rng.randrange(100, 1000)}.my.salesforce.com")
    names = [f"{first} {last}" for first in FIRST for last in LAST]
    rng.shuffle(names)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    stanch_user = org.add_user(f"stanch@{company}.example", "Stanch Integration", permissions=ALL_PERMISSIONS)
    stanch = org.add_app(STANCH_APP, certificate=public.decode(), run_as=stanch_user.id)
    stanch.preauthorised.add(stanch_user.id)

    staff = [org.add_user(f"{name.lower().replace(' ', '.')}@{company}.example", name) for name in names[:12]]
    stolen = org.add_app(rng.choice(STOLEN))
    service = org.add_user(f"svc-{stolen.name.split()[0].lower()}@{company}.example", f"{stolen.name} Service")
    victims = [service, *staff[: rng.randrange(2, 5)]]
    grants = []
    for user in victims:
        for _ in range(rng.randrange(1, 3)):
            made = org.started - timedelta(days=rng.randrange(20, 200))
            grants.append(org.authorise(stolen, user, "attacker", made))
    attacker_ip = rng.choice(EXFIL)
    sessions = _attack_sessions(org, rng, stolen, victims, grants, attacker_ip)
    _records(org, rng)
    running, late, deleted = _jobs(org, rng, stolen, victims, attacker_ip)

    innocent = org.add_app(rng.choice(INNOCENT))
    innocent_user = org.add_user(
        f"svc-{innocent.name.split()[0].lower()}@{company}.example", f"{innocent.name} Service"
    )
    innocent_grant = org.authorise(innocent, innocent_user, "business", org.started - timedelta(days=90))
    org.open_session(
        innocent_user, "Oauth2", "business", app=innocent.id, grant=innocent_grant.id, source_ip="192.0.2.40"
    )
    bystanders = staff[len(victims) - 1 :]
    for user in bystanders[:3]:
        org.open_session(user, "UI", "business", login_type="Application", source_ip="192.0.2.50")
    _history(org, rng, stolen, service, innocent, innocent_user, attacker_ip)
    return World(
        org=org,
        company=company,
        stanch=stanch,
        stanch_key=pem,
        stanch_user=stanch_user,
        stolen=stolen,
        victims=victims,
        stolen_grants=grants,
        attacker_sessions=sessions,
        running_jobs=running,
        late_job=late,
        deleted_job=deleted,
        innocent=innocent,
        innocent_user=innocent_user,
        innocent_grant=innocent_grant,
        bystanders=bystanders,
        others=_others(org, {user.id for user in victims}),
        attacker_ip=attacker_ip,
    )


def _others(org: Org, victims: set[str]) -> frozenset[str]:
    owned = (thing for table in (org.grants, org.sessions, org.jobs) for thing in table.values())
    users = (id_ for id_ in org.users if id_ not in victims)
    return frozenset([*users, *(thing.id for thing in owned if thing.user not in victims)])


def come_back(world: World) -> None:
    """Give the attacker a new token of a victim, a browser session and a running export."""
    org, user = world.org, world.victims[0]
    world.stolen_grants.append(org.authorise(world.stolen, user, "attacker", org.now()))
    session = org.open_session(user, "UI", "attacker", login_type="OAuth frontdoor", source_ip=world.attacker_ip)
    world.attacker_sessions.append(session)
    job = Job(org.mint("750"), "query", "query", "Account", user.id, "InProgress", org.now(), app=world.stolen.id)
    org.jobs[job.id] = job
    world.running_jobs.append(job)


def _attack_sessions(
    org: Org, rng: random.Random, app: App, victims: list[User], grants: list[Grant], ip: str
) -> list[Session]:
    """API sessions made of the stolen tokens, and browser sessions opened with them, one with a child.

    The browser sessions hang on no grant: revoking every token leaves them, which is why sessions are ended
    too.
    """
    sessions = []
    for grant in grants[: rng.randrange(2, 4)]:
        user = org.users[grant.user]
        sessions.append(org.open_session(user, "Oauth2", "attacker", app=app.id, grant=grant.id, source_ip=ip))
        grant.uses, grant.last_used = rng.randrange(40, 900), org.started
    for user in victims[: rng.randrange(1, 3)]:
        browser = org.open_session(user, "UI", "attacker", login_type="OAuth frontdoor", source_ip=ip)
        child = org.open_session(user, "Aura", "attacker", parent=browser.id, source_ip=ip)
        sessions += [browser, child]
    own = org.open_session(victims[-1], "UI", "business", login_type="Application", source_ip="192.0.2.60")
    return [*sessions, own]


def _records(org: Org, rng: random.Random) -> None:
    org.rows["Account"] = [{"Id": org.mint("001"), "Name": f"Account {n}"} for n in range(rng.randrange(20, 40))]
    org.rows["Contact"] = [
        {"Id": org.mint("003"), "Name": f"Contact {n}", "Email": f"contact{n}@customer.example"}
        for n in range(rng.randrange(40, 80))
    ]
    org.rows["Case"] = [
        {"Id": org.mint("500"), "Subject": f"Case {n}", "Description": "Cannot sign in"}
        for n in range(rng.randrange(30, 60))
    ]


def _jobs(org: Org, rng: random.Random, app: App, victims: list[User], ip: str) -> tuple[list[Job], Job, str]:
    service = victims[0]
    ago = org.started - timedelta(hours=rng.randrange(4, 20))

    def job(name: str, state: str, at: datetime) -> Job:
        made = Job(org.mint("750"), "query", "query", name, service.id, state, at, f"SELECT Id FROM {name}", app=app.id)
        org.jobs[made.id] = made
        fields = {"JOB_ID": made.id[:15], "ENTITY_NAME": name, "OPERATION_TYPE": "query", "CLIENT_IP": ip}
        org.log_event("BulkApi2", service, at, JOB_STATUS=state, ROWS_PROCESSED=rng.randrange(1000, 90000), **fields)
        return made

    gone = job("Contact", "JobComplete", ago)
    # Deleted seconds after it was read, as in August 2025: the list is silent, the log is not (facts §2.1).
    del org.jobs[gone.id]
    org.log_event(
        "BulkApi2",
        service,
        ago + timedelta(seconds=24),
        JOB_ID=gone.id[:15],
        JOB_STATUS="Deleted",
        ENTITY_NAME="Contact",
        OPERATION_TYPE="query",
        CLIENT_IP=ip,
    )
    late = job("Account", "JobComplete", ago + timedelta(minutes=3))
    running = [job("Case", "InProgress", org.started - timedelta(minutes=2))]
    if rng.random() < 0.6:
        running.append(job("Contact", "UploadComplete", org.started - timedelta(minutes=1)))
    return running, late, gone.id


def _history(org: Org, rng: random.Random, stolen: App, service: User, innocent: App, partner: User, ip: str) -> None:
    """Two days of log: reconnaissance with the stolen tokens among the innocent integration's routine."""
    start = org.started - timedelta(hours=30)
    for hour in range(0, 30, 3):
        at = start + timedelta(hours=hour, minutes=rng.randrange(50))
        org.log_event(
            "RestApi",
            partner,
            at,
            URI="/services/data/v65.0/query",
            CLIENT_IP="192.0.2.40",
            CONNECTED_APP=innocent.name,
        )
    recon = (
        "/services/data/v58.0/sobjects/",
        "/services/data/v58.0/sobjects/Case/describe/",
        "/services/data/v58.0/query",
    )
    for number, uri in enumerate(recon * 2):
        at = start + timedelta(hours=8, seconds=30 * number)
        agent = "Python/3.11 aiohttp/3.12.15"
        org.log_event("RestApi", service, at, URI=uri, CLIENT_IP=ip, USER_AGENT=agent, CONNECTED_APP=stolen.name)
    for hour in (8, 20):
        at = start + timedelta(hours=hour)
        org.log_event("Login", service, at, LOGIN_STATUS="LOGIN_NO_ERROR", CLIENT_IP=ip, APPLICATION=stolen.name)
        org.logins.append(
            {
                "Id": org.mint("0Ya"),
                "UserId": service.id,
                "LoginTime": at,
                "SourceIp": ip,
                "LoginType": "Remote Access 2.0",
                "Status": "Success",
                "Application": stolen.name,
            }
        )
    org.audit.append(
        {
            "Id": org.mint("0Ym"),
            "Action": "insertConnectedApplication",
            "Section": "Connected Apps",
            "Display": "Installed a connected app",
            "CreatedDate": start + timedelta(hours=9),
            "CreatedById": service.id,
            "DelegateUser": None,
        }
    )
