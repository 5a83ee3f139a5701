"""What a verification found: one line per thing looked at, and what to do about it where it is wrong."""

from __future__ import annotations

from dataclasses import dataclass

# The command that reads a model's files again and mends them.
REPAIR = "gateway models pull {name} --verify"


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` is a stable word (`file`, `lock`, `config`, `graph`, `published`, `external_data`, `serving`,
    `tokenizer`, `canary`, `batch`, `triton`), `subject` a path or name, `detail` a sentence."""

    check: str
    subject: str
    ok: bool
    detail: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True)
class VerificationReport:
    model: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        return all(finding.ok for finding in self.findings)

    @property
    def faults(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if not finding.ok)
