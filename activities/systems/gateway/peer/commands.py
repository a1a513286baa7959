"""The commands of a simulated gateway's runtime API, answered as HAProxy 2.6 answered them."""

import re
from collections.abc import Callable

from cryptography import x509

from activities.systems.gateway.layout import NO_STATES
from activities.systems.gateway.models import LISTS, REVOKED
from activities.systems.gateway.peer.state import DRAIN, MAINT, VERSION, GatewayState

CHANGES = ("add ", "set ", "del ", "clear ", "commit ", "shutdown ", "enable ", "disable ")
COLUMNS = (
    "# pxname,svname,qcur,qmax,scur,smax,slim,stot,bin,bout,dreq,dresp,ereq,econ,eresp,wretr,wredis,status,weight,"
    "act,bck,hrsp_5xx,uweight,"
)


def answer(state: GatewayState, line: str, payload: str = "") -> str:
    """What the gateway says to one command; an empty line where it was done."""
    for pattern, act in COMMANDS:
        found = re.fullmatch(pattern, line)
        if found:
            return act(state, found, payload) + "\n"
    return "Unknown command, but maybe one of the following ones is a better match:\n  help\n\n"


def _info(state: GatewayState, found: re.Match[str], payload: str) -> str:
    return (
        f"Name: HAProxy\nVersion: {VERSION}\nPid: {int(state.started * 1000)}\nStart_time_sec: {int(state.started)}\n"
    )


def _lists(state: GatewayState, found: re.Match[str], payload: str) -> str:
    rows = [known for known in LISTS if known.kind == found[1]]
    lines = [
        f"{number} ({state.path(known.file)}) pattern loaded from file '{state.path(known.file)}'. "
        f"curr_ver=0 next_ver=0 entry_cnt={len(state.lists[known.file])}"
        for number, known in enumerate(rows)
    ]
    return "\n".join(["# id (file) description", *lines]) + "\n"


def _unknown(kind: str) -> str:
    return f"Unknown {'map' if kind == 'map' else 'ACL'} identifier. Please use #<id> or <file>.\n"


def _show(state: GatewayState, found: re.Match[str], payload: str) -> str:
    file = state.file_of(found[2])
    if file is None:
        return _unknown(found[1])
    return "".join(f"{state.address()} {f'{key} {value}'.rstrip()}\n" for key, value in state.lists[file])


def _get(state: GatewayState, found: re.Match[str], payload: str) -> str:
    file = state.file_of(found[1])
    if file is None:
        return _unknown("map")
    value = state.value(file, found[2])
    if value is None:
        return "type=str, case=sensitive, found=no\n"
    return f'type=str, case=sensitive, found=yes, idx=tree, key="{found[2]}", value="{value}", type="str"\n'


def _add(state: GatewayState, found: re.Match[str], payload: str) -> str:
    file, kind = state.file_of(found[2]), found[1]
    if file is None:
        return _unknown(kind)
    if kind == "map" and not found[4]:
        return "'add map' expects three parameters (map identifier, key and value)\n"
    # Twice is twice: HAProxy does not look whether the key is there.
    state.lists[file].append((found[3], (found[4] or "").strip()))
    return ""


def _set(state: GatewayState, found: re.Match[str], payload: str) -> str:
    file = state.file_of(found[1])
    if file is None:
        return _unknown("map")
    if state.value(file, found[2]) is None:
        return "entry not found.\n"
    state.lists[file] = [(key, found[3] if key == found[2] else value) for key, value in state.lists[file]]
    return ""


def _del(state: GatewayState, found: re.Match[str], payload: str) -> str:
    file = state.file_of(found[2])
    if file is None:
        return _unknown(found[1])
    if state.value(file, found[3]) is None:
        return "Key not found.\n"
    state.lists[file] = [entry for entry in state.lists[file] if entry[0] != found[3]]
    return ""


def _clear(state: GatewayState, found: re.Match[str], payload: str) -> str:
    file = state.file_of(found[2])
    if file is None:
        return _unknown(found[1])
    state.lists[file] = []
    return ""


def _stat(state: GatewayState, found: re.Match[str], payload: str) -> str:
    lines = ["gateway,FRONTEND,,,0,1,2000,0,0,0,0,0,0,,,,,OPEN,,,,0,,"]
    for server in state.servers.values():
        lines.append(
            f"models,{server.name},0,0,0,1,,{server.requests},0,0,,0,,{server.no_connection},0,0,0,{server.status},"
            f"{server.weight},1,0,{server.errors},{server.weight},"
        )
    lines.append("models,BACKEND,0,0,0,1,400,0,0,0,0,0,,0,0,0,0,UP,0,1,0,0,0,")
    return "\n".join([COLUMNS, *lines]) + "\n"


def _states(state: GatewayState, found: re.Match[str], payload: str) -> str:
    rows = []
    for number, server in enumerate(state.servers.values(), 1):
        host, _, port = server.address.rpartition(":")
        rows.append(
            f"3 models {number} {server.name} {host} {2 if server.up else 0} {server.admin} {server.weight} "
            f"{server.weight} 1 15 3 2 6 0 0 0 - {port} - 0 0 - - 0\n"
        )
    return NO_STATES + "".join(rows)


def _table(state: GatewayState, found: re.Match[str], payload: str) -> str:
    tables = {"seen": state.seen, "rates": state.rates}
    if found[1] not in tables:
        return "No such table\n"
    rows = tables[found[1]]
    lines = [f"# table: {found[1]}, type: string, size:102400, used:{len(rows)}\n"]
    for key, row in rows.items():
        data = f"http_req_cnt={row.count}" if found[1] == "seen" else f"http_req_rate(60000)={len(row.recent)}"
        shown = key.replace("\\", "\\\\").replace(" ", "\\ ")
        lines.append(f"{state.address()}: key={shown} use=0 exp={state.exp(row)} {data}\n")
    return "".join(lines)


def _forget(state: GatewayState, found: re.Match[str], payload: str) -> str:
    tables = {"seen": state.seen, "rates": state.rates}
    if found[1] not in tables:
        return "No such table\n"
    if found[2]:
        tables[found[1]].pop(found[2].removeprefix(" key "), None)
    else:
        tables[found[1]].clear()
    return ""


def _server(state: GatewayState, found: re.Match[str], payload: str) -> str:
    server = state.servers.get(found[2]) if found[1] == "models" else None
    if server is None:
        return "No such server.\n"
    what, value = found[3], found[4]
    if what == "weight":
        if not value.isdigit() or int(value) > 256:
            return "Absolute weight can only be between 0 and 256 inclusive.\n"
        server.weight = int(value)
    elif value in ("ready", "drain", "maint"):
        server.admin = {"ready": 0, "drain": DRAIN, "maint": MAINT}[value]
    else:
        return "'set server <srv> state' expects 'ready', 'drain' and 'maint'.\n"
    return ""


def _crl_show(state: GatewayState, found: re.Match[str], payload: str) -> str:
    path = state.path(REVOKED)
    if not found[1]:
        pending = f"# transaction\n*{path}\n" if state.pending else ""
        return f"{pending}# filename\n{path}\n"
    if found[1].strip() != path:
        return "Can't display the CRL file: Not found!\n"
    serials = "".join(f"    Serial Number: {serial:X}\n" for serial in sorted(state.revoked()))
    head = f"Filename: {path}\nStatus: Used\n \nCertificate Revocation List #1:\nVersion 2\n"
    return f"{head}Revoked Certificates:\n{serials}"


def _crl_set(state: GatewayState, found: re.Match[str], payload: str) -> str:
    if found[1] != state.path(REVOKED):
        return "Can't update the CRL file: Not found!\n"
    try:
        x509.load_pem_x509_crl(payload.encode())
    except ValueError:
        return "unable to load the CRL file\n"
    state.pending = payload
    return f"transaction created for CRL {found[1]}!\n"


def _crl_commit(state: GatewayState, found: re.Match[str], payload: str) -> str:
    if state.pending is None:
        return "No ongoing transaction!\n"
    state.revocations, state.pending = state.pending, None
    return f"Committing {found[1]}.\nSuccess!\n"


def _nothing(state: GatewayState, found: re.Match[str], payload: str) -> str:
    return ""


COMMANDS: tuple[tuple[str, Callable[[GatewayState, re.Match[str], str], str]], ...] = (
    (r"show info", _info),
    (r"show (map|acl)", _lists),
    (r"show (map|acl) (\S+)", _show),
    (r"get map (\S+) (\S+)", _get),
    (r"add (map|acl) (\S+) (\S+)( .+)?", _add),
    (r"set map (\S+) (\S+) (.+)", _set),
    (r"del (map|acl) (\S+) (\S+)", _del),
    (r"clear (map|acl) (\S+)", _clear),
    (r"show stat", _stat),
    (r"show servers state(?: models)?", _states),
    (r"show table (\S+)", _table),
    (r"clear table (\S+)( key \S+)?", _forget),
    (r"set server ([^/]+)/(\S+) (weight|state) (\S+)", _server),
    (r"show ssl crl-file( \S+)?", _crl_show),
    (r"set ssl crl-file (\S+) <<", _crl_set),
    (r"commit ssl crl-file (\S+)", _crl_commit),
    (r"shutdown sessions server ([^/]+)/(\S+)", _nothing),
)
