"""The alert that starts the story, as a detector on Salesforce's events delivers it."""

from datetime import timedelta
from typing import Any

from worker.range_world import World


def alert_of(world: World) -> dict[str, Any]:
    """An ``ApiTotalUsage`` event over the threshold, in the field names of Panther's Salesforce schema."""
    service, org = world.victims[0], world.org
    at = org.started - timedelta(minutes=1)
    stamp = at.strftime("%Y-%m-%d %H:%M:%S.") + f"{at.microsecond // 1000:03d}"
    parsed = org.started.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    return {
        "EVENT_TYPE": "ApiTotalUsage",
        "TIMESTAMP": stamp,
        "TIMESTAMP_DERIVED": stamp,
        "EVENT_DATE": stamp[:10],
        "ORGANIZATION_ID": org.id[:15],
        "USER_ID": service.id[:15],
        "USER_ID_DERIVED": service.id,
        "USER_NAME": service.username,
        "USER_TYPE": "Standard",
        "SOURCE_IP": world.attacker_ip,
        "REQUEST_ID": f"{org.id[3:12]}-{world.running_jobs[0].id[8:15]}-",
        "CONNECTED_APP_ID": world.stolen.id,
        "CONNECTED_APP_NAME": world.stolen.name,
        "CLIENT_ID": world.stolen.consumer_key[:28],
        "API_TOTAL_COUNT": 15000 + int(service.id[9:12].encode().hex(), 16) % 5000,
        "STATUS": "Success",
        "SESSION_KEY": world.attacker_sessions[0].id[:16],
        "p_event_time": stamp,
        "p_parse_time": parsed,
        "p_log_type": "Salesforce.ApiTotalUsage",
        "p_row_id": f"{service.id.lower()}{world.stolen.id.lower()}"[:32],
        "p_source_label": f"Salesforce - {world.company}",
        "p_any_ip_addresses": [world.attacker_ip],
        "p_any_usernames": [service.username],
        "p_any_actor_ids": [service.id[:15]],
    }
