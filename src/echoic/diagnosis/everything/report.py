"""A report with everything that the measures say of one of its networks."""

import dataclasses
import time

import jax
import numpy as np

from echoic.diagnosis.assemble import Job, Progress, named_key
from echoic.diagnosis.everything.gather import findings_of
from echoic.diagnosis.plan import Plan
from echoic.diagnosis.report import Report


def with_findings(
    report: Report,
    job: Job,
    values: np.ndarray,
    plan: Plan,
    *,
    key: jax.Array,
    progress: Progress | None = None,
) -> Report:
    """The report with all findings on the network of ``job``; as it is where it has them."""
    record = next(network for network in report.networks if network.name == job.name)
    if record.findings:
        return report
    started = time.perf_counter()
    tell = (progress or Progress()).stage
    findings = findings_of(
        job.cell,
        values if job.values is None else job.values,
        plan,
        record,
        key=named_key(key, job.name),
        notify=lambda stage: tell(job.name, stage),
    )
    networks = tuple(
        dataclasses.replace(network, findings=findings) if network is record else network
        for network in report.networks
    )
    seconds = report.record.seconds + time.perf_counter() - started
    return Report(dataclasses.replace(report.record, networks=networks, seconds=seconds))
