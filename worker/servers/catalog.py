"""The real servers that tests and the range can use: which, in what version, and how each is installed."""

from dataclasses import dataclass

PIP, GO, SYSTEM = "pip", "go", "system"


@dataclass(frozen=True)
class Server:
    """One server.

    Attributes:
        name: As ``find`` and ``obtain`` know it.
        version: The only one that is installed and taken from the cache; empty for one of the system's own.
        kind: ``pip`` (an environment of its own from a hash-pinned requirement file), ``go`` (``go install``) or
            ``system`` (a package of the operating system).
        command: Name of its executable.
        source: What is installed: the requirement file, the Go module, the package.
        long: How long that takes, for people who wait.
        variable: Environment variable that names an executable instead.
    """

    name: str
    version: str
    kind: str
    command: str
    source: str
    long: str
    variable: str

    @property
    def folder(self) -> str:
        """Of the obtained server, in the cache."""
        return f"{self.name}-{self.version}" if self.version else self.name


SERVERS = {
    server.name: server
    for server in (
        Server(
            "mlflow", "3.17.2", PIP, "mlflow", "requirements-mlflow.txt", "some 3 minutes, 850 MB", "STANCH_MLFLOW_BIN"
        ),
        Server(
            "moto", "5.2.5", PIP, "moto_server", "requirements-moto.txt", "some 2 minutes, 320 MB", "STANCH_MOTO_BIN"
        ),
        Server(
            "mlserver", "1.7.1", PIP, "mlserver", "requirements-mlserver.txt", "a minute, 530 MB", "STANCH_MLSERVER_BIN"
        ),
        Server(
            "opa", "1.22.2", GO, "opa", "github.com/open-policy-agent/opa@v1.22.2", "some 3 minutes", "STANCH_OPA_BIN"
        ),
        Server(
            "step-ca",
            "0.30.2",
            GO,
            "step-ca",
            "github.com/smallstep/certificates/cmd/step-ca@v0.30.2",
            "some 3 minutes",
            "STANCH_STEP_CA_BIN",
        ),
        Server("haproxy", "", SYSTEM, "haproxy", "haproxy", "some seconds", "STANCH_HAPROXY_BIN"),
    )
}
