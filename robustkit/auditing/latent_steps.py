"""The steps of an audit that look at latents: embeddings, church windows, maps, distances."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from robustkit.auditing.subject import Subject
from robustkit.errors import InputError
from robustkit.files import own_folder, read_json, sha256_file, write_json
from robustkit.findings.attack.record import RECORD as ATTACK
from robustkit.findings.attack.record import AttackRecord
from robustkit.findings.certify.record import RECORD as CERTIFICATES
from robustkit.findings.distances.measure import DISTANCES
from robustkit.findings.distances.record import DistancesRequest
from robustkit.findings.latents.attacked import Attacked
from robustkit.findings.latents.measure import Embedded, embed_attacked
from robustkit.findings.latents.record import EMBEDDINGS, NOTES
from robustkit.findings.latents.running import LatentFinding, keep
from robustkit.findings.maps.measure import MAPS
from robustkit.findings.maps.record import IsomapRequest
from robustkit.findings.windows.measure import WINDOWS
from robustkit.findings.windows.record import WindowRequest
from robustkit.latent.embeddings import Embeddings


def look_at_latents(subject: Subject) -> None:
    """Embeddings, and what is made of them: windows, a map, distances."""
    attack, seed = subject.steps.done["attack"], subject.request.seed
    record = attack.folder / ATTACK
    inputs = {**subject.inputs, "attack_sha256": "" if attack.refused else sha256_file(record)}

    @cache
    def attacked() -> Attacked:
        if attack.refused:
            raise InputError(f"the attack was not run: {attack.refused}")
        return Attacked(subject.sample, AttackRecord.load(record), attack.folder)

    def embed(folder: Path, resume: bool) -> None:
        embedded = embed_attacked(attacked(), seed=seed, say=lambda line: None)
        own_folder(folder)
        embedded.record.save(folder / EMBEDDINGS)
        write_json(folder / NOTES, list(embedded.notes))

    latents = subject.steps.run("latents", inputs, embed)

    @cache
    def embedded() -> Embedded:
        if latents.refused:
            raise InputError(latents.refused)
        notes = read_json(latents.folder / NOTES)
        return Embedded(attacked(), Embeddings.load(latents.folder / EMBEDDINGS), tuple(notes))

    def look(step: str, inputs: dict[str, Any], kind: LatentFinding, request: Any) -> None:
        name = subject.path.stem
        subject.steps.run(step, inputs, lambda folder, resume: keep(kind, folder, {name: embedded()}, request))

    inputs["latents_sha256"] = "" if latents.refused else sha256_file(latents.folder / EMBEDDINGS)
    look("windows", inputs, WINDOWS, WindowRequest(seed=seed))
    look("isomap", inputs, MAPS, IsomapRequest())
    done = subject.steps.done.get("certify")
    certificates = None if done is None or done.refused else done.folder
    tried = "" if certificates is None else sha256_file(certificates / CERTIFICATES)
    request = DistancesRequest(seed=seed, certificates=certificates)
    look("distances", {**inputs, "certificates_sha256": tried}, DISTANCES, request)
