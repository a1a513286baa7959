"""Where the Temporal server comes from, in which order, and what is told."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from worker.obtain import GO_TAG, NotObtained, Obtain


@pytest.fixture
def real(temporal_binary) -> Path:
    return temporal_binary


class NoDownload(Obtain):
    """The internet is not asked; everything else is as it is."""

    async def _download(self, reasons):
        self._miss(reasons, "download: no way out")
        return None


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


async def test_the_named_server_comes_first(tmp_path, real):
    told: list[str] = []
    env = {"STANCH_TEMPORAL_BIN": str(real), "PATH": str(script(tmp_path / "bin/temporal", "exit 1").parent)}
    assert await NoDownload(env, told.append, tmp_path / "cache").server() == real
    assert told == [f"Temporal server: STANCH_TEMPORAL_BIN ({real})."]


async def test_what_is_no_server_is_passed_over_with_its_reason(tmp_path, real):
    told: list[str] = []
    bad = script(tmp_path / "bin/temporal", "exit 1")
    cached = tmp_path / "cache" / f"go-{GO_TAG}" / "temporal"
    cached.parent.mkdir(parents=True)
    cached.symlink_to(real)
    env = {"STANCH_TEMPORAL_BIN": str(tmp_path / "none"), "PATH": f"{bad.parent}:/usr/bin:/bin"}
    assert await NoDownload(env, told.append, tmp_path / "cache").server() == cached
    assert "STANCH_TEMPORAL_BIN" in told[0]
    assert "not an executable file" in told[0]
    assert "on PATH" in told[1]
    assert "ended at once" in told[1]
    assert told[2] == f"Temporal server: cached ({cached})."


async def test_an_accepted_server_is_not_asked_again(tmp_path, real):
    env = {"STANCH_TEMPORAL_BIN": str(real)}
    await NoDownload(env, lambda line: None, tmp_path / "cache").server()
    assert len(list((tmp_path / "cache" / "accepted").iterdir())) == 1


async def test_it_is_built_with_go_and_kept(tmp_path, real):
    # Stands in for the Go tool: it puts what it "built" where GOBIN says, as `go install` does.
    go = script(tmp_path / "bin/go", f'echo "$1 $2" > {tmp_path}/asked; ln -s {real} "$GOBIN/temporal"')
    told: list[str] = []
    env = {"PATH": f"{go.parent}:/bin:/usr/bin"}
    found = await NoDownload(env, told.append, tmp_path / "cache").server()
    assert found == tmp_path / "cache" / f"go-{GO_TAG}" / "temporal"
    assert (tmp_path / "asked").read_text().strip() == "install github.com/temporalio/cli/cmd/temporal@v1.5.1"
    assert any("about 3 minutes" in line for line in told)


async def test_long_waits_show_progress(tmp_path):
    go = script(tmp_path / "bin/go", "sleep 0.3; echo 'no network' >&2; exit 1")
    told: list[str] = []
    with pytest.raises(NotObtained, match=r"no network.*Install the Temporal CLI"):
        await NoDownload({"PATH": f"{go.parent}:/bin"}, told.append, tmp_path / "cache", 0.05).server()
    assert any("still building" in line for line in told)


async def test_the_last_failure_says_what_to_install(tmp_path):
    told: list[str] = []
    with pytest.raises(NotObtained, match="Install the Temporal CLI") as caught:
        await NoDownload({"PATH": str(tmp_path)}, told.append, tmp_path / "cache").server()
    for part in ("PATH: no `temporal`", "cache: none", "download: no way out", "Go: no `go`"):
        assert part in str(caught.value)
        assert any(part in line for line in told)


def test_the_cache_is_the_users(tmp_path):
    assert Obtain({"XDG_CACHE_HOME": str(tmp_path)}, print).folder == tmp_path / "stanch" / "temporal"
    home = Obtain({"HOME": str(tmp_path)}, print).folder
    assert home.is_relative_to(tmp_path)
    if sys.platform == "linux":
        assert home == tmp_path / ".cache" / "stanch" / "temporal"
    assert shutil.which("sh", path=os.defpath)
