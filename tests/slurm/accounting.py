"""The private Slurm with accounting: slurmdbd over a MariaDB of its own, an account, a QOS that limits submissions."""

from __future__ import annotations

import getpass
import subprocess
from pathlib import Path

from tests.slurm.cluster import PrivateSlurm, SlurmUnavailableError, free_ports, install

_PACKAGES = ("slurmdbd", "slurm-client", "mariadb-server")
_PROGRAMS = ("slurmdbd", "sacctmgr", "sacct", "mariadbd", "mariadb-install-db")
_ACCOUNT = "lab"
_SLURMDBD = """AuthType=auth/munge
AuthInfo=socket={root}/munge/munge.socket
DbdHost=localhost
DbdAddr=127.0.0.1
DbdPort={port}
SlurmUser={user}
PidFile={root}/run/slurmdbd.pid
LogFile={root}/log/slurmdbd.log
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort={database_port}
StorageUser={user}
StorageLoc=slurm
"""
_LINES = """AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=127.0.0.1
AccountingStoragePort={port}
AccountingStoragePass={root}/munge/munge.socket
AccountingStorageEnforce=associations,limits,qos"""


class AccountedSlurm(PrivateSlurm):
    """A Slurm that knows accounts; this user has one, and the QOS `normal`."""

    def start(self) -> None:
        """Bring everything up.

        Raises:
            SlurmUnavailableError: something is missing, or does not come up.
        """
        trouble = install(_PACKAGES, programs=_PROGRAMS)
        if trouble:
            raise SlurmUnavailableError(trouble)
        super().start()

    def limit_submissions(self, most: int | None) -> None:
        """How many jobs of a user the QOS lets wait and run; None is no limit."""
        limit = f"MaxSubmitJobsPerUser={-1 if most is None else most}"
        self._sacctmgr("modify", "qos", "normal", "set", limit)

    def _start_accounting(self) -> str:
        port, database_port = free_ports(2)
        self._start_database(database_port)
        conf = self.root / "slurmdbd.conf"
        text = _SLURMDBD.format(
            root=self.root,
            port=port,
            database_port=database_port,
            user=getpass.getuser(),
        )
        conf.write_text(text)
        conf.chmod(0o600)
        lines = _LINES.format(port=port, root=self.root)
        self._write_configuration(lines)  # what sacctmgr reads
        self._start("slurmdbd", "-D")
        self._wait(
            lambda: bool(self.run("sacctmgr", "-n", "-P", "show", "qos")),
            "slurmdbd does not come up",
        )
        self._sacctmgr("add", "cluster", "milozero")
        self._sacctmgr("add", "account", _ACCOUNT, "Cluster=milozero")
        self._sacctmgr("add", "user", getpass.getuser(), f"DefaultAccount={_ACCOUNT}")
        return lines

    def _start_database(self, port: int) -> None:
        folder = self.root / "database"
        common = ("--no-defaults", f"--datadir={folder}", f"--user={getpass.getuser()}")
        made = subprocess.run(
            ["mariadb-install-db", *common, "--skip-test-db"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if made.returncode != 0:
            raise SlurmUnavailableError(
                f"mariadb-install-db: {(made.stderr or made.stdout)[-500:]}",
            )
        socket = Path(folder) / "socket"
        self._start(
            "mariadbd",
            *common,
            f"--socket={socket}",
            f"--pid-file={folder}/pid",
            "--bind-address=127.0.0.1",
            f"--port={port}",
            "--skip-grant-tables",  # loopback only, and gone with the test
            "--innodb-buffer-pool-size=16M",
            "--innodb-flush-log-at-trx-commit=0",
        )
        self._wait(socket.exists, "mariadbd does not come up")

    def _sacctmgr(self, *words: str) -> None:
        self.run("sacctmgr", "-i", *words)
