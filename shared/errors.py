"""Every error fedstill raises on purpose, as one tree.

::

    FedstillError                     1   something fedstill knows how to name
    ├── ConfigError                  10   federation.toml / institution.toml / an option
    ├── DataError                    20   records that cannot be used
    │   ├── MissingFileError         21   a file or folder that is not there
    │   ├── MissingColumnError       22   a column that is not there
    │   ├── LabelError               23   a label outside the task's labels
    │   ├── EmptyInstitutionError    24   an institution without usable records
    │   ├── NotFiniteError           25   a NaN or infinity where a number is needed
    │   └── KnowledgeError           26   a graph, mapping or dictionary of knowledge that cannot be used
    ├── CheckpointError              30   weights or a teacher that cannot be loaded
    ├── IdentityError                40   keys, certificates, signatures, passphrases
    ├── ProtocolError                50   secure aggregation refused or failed (shared/secagg/errors.py refines it)
    ├── PolicyRefusal                55   an institution's own policy says no
    │   └── ApprovalPending          56   … because its operator has not approved the run yet
    ├── RunError                     60   a run that cannot go on
    ├── ArtifactError                70   an artifact that must not be trusted or cannot be made
    │   └── DowngradeError           71   an artifact older than one that the device has had
    ├── AuditError                   75   an audit that was changed, cut or cannot be read
    ├── DeploymentError              80   a process, port or peer that is not as it should be
    └── ResourceError                90   disk, memory or time ran out

The number is the process's exit code; ``docs/errors/`` has one page for each, named by ``slug``.
A message is one sentence: what, where, what to do. It never holds a secret, a key or a record's content.
"""

from __future__ import annotations

from typing import ClassVar

INTERRUPTED_EXIT_CODE = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells have it."""


class FedstillError(Exception):
    """Base of every error that is fedstill's to explain; ``str(error)`` is the sentence a user reads."""

    exit_code: ClassVar[int] = 1
    slug: ClassVar[str] = "error"


class ConfigError(FedstillError):
    """A configuration file or an option that cannot be used as it stands."""

    exit_code = 10
    slug = "config"


class DataError(FedstillError):
    """Records that cannot be used as they stand."""

    exit_code = 20
    slug = "data"


class MissingFileError(DataError):
    """A file or folder that is not there or cannot be read."""

    exit_code = 21
    slug = "missing-file"


class MissingColumnError(DataError):
    """A table without a column that the task names."""

    exit_code = 22
    slug = "missing-column"


class LabelError(DataError):
    """A label outside the labels that the task declares."""

    exit_code = 23
    slug = "label"


class EmptyInstitutionError(DataError):
    """An institution that has no usable records."""

    exit_code = 24
    slug = "empty-institution"


class NotFiniteError(DataError):
    """A NaN or an infinity where only a number can be used."""

    exit_code = 25
    slug = "not-finite"


class KnowledgeError(DataError):
    """A graph, a mapping or a dictionary of knowledge that cannot be used as it stands."""

    exit_code = 26
    slug = "knowledge"


class CheckpointError(FedstillError):
    """Weights, a teacher folder or a run's checkpoint that cannot be loaded."""

    exit_code = 30
    slug = "checkpoint"


class IdentityError(FedstillError):
    """A key, certificate, signature or passphrase that does not fit."""

    exit_code = 40
    slug = "identity"


class ProtocolError(FedstillError):
    """Secure aggregation was refused or failed."""

    exit_code = 50
    slug = "protocol"


class PolicyRefusal(FedstillError):
    """An institution's own policy forbids what it was asked; the coordinator cannot weaken it."""

    exit_code = 55
    slug = "policy"


class ApprovalPending(PolicyRefusal):
    """An institution's operator has not approved the run yet; asked again later, it may answer."""

    exit_code = 56
    slug = "approval"


class RunError(FedstillError):
    """A run that cannot go on."""

    exit_code = 60
    slug = "run"


class ArtifactError(FedstillError):
    """An artifact that must not be trusted, cannot be loaded or cannot be made."""

    exit_code = 70
    slug = "artifact"


class DowngradeError(ArtifactError):
    """An artifact that is older than one that was installed before, or another of the same version."""

    exit_code = 71
    slug = "downgrade"


class AuditError(FedstillError):
    """An audit in which a line was changed, moved or taken out or is not as it should be, or which is none."""

    exit_code = 75
    slug = "audit"


class DeploymentError(FedstillError):
    """A process, a port or a peer of a deployed federation that is not as it should be."""

    exit_code = 80
    slug = "deployment"


class ResourceError(FedstillError):
    """Disk, memory or time ran out."""

    exit_code = 90
    slug = "resource"
