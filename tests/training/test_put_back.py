"""The bugs of published training codes, put back one at a time: each must make the test that names it fail.

A copy of the package is changed in a few words, each found exactly once, and the named test is run against the copy in
a process of its own. Against the copy as it is, every one of these tests passes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]

LOOP, FEED, ALIGNMENT = "training/test_loop.py", "training/test_feed.py", "training/test_alignment.py"
RESUME, EVALUATE, DOMAINS = "training/test_resume.py", "training/test_evaluate.py", "training/test_domains.py"
SELECTION, SETTINGS = "training/test_selection.py", "training/test_settings.py"


@dataclass(frozen=True)
class Bug:
    """A bug and the test that must notice it.

    Attributes:
        name: What is wrong.
        file: The module, under `robustkit/`.
        test: The file under `tests/`, and the test.
        edits: Each text to find in the module exactly once, and what to write instead.
    """

    name: str
    file: str
    test: tuple[str, str]
    edits: tuple[tuple[str, str], ...]


def bug(name: str, file: str, test: tuple[str, str], *edits: tuple[str, str]) -> Bug:
    return Bug(name, file, test, edits)


COVERAGE = (FEED, "test_every_image_of_every_domain_is_seen_in_every_epoch")
TRAINED = (LOOP, "test_everything_that_is_trained_is_in_one_group_of_the_optimiser_and_moves")
STRETCHED = (LOOP, "test_every_image_is_stretched_the_last_too_and_both_domains_by_the_source")
REVERSED = (ALIGNMENT, "test_reversed_gradient_has_the_other_sign_and_the_given_strength")
REFERENCE = (ALIGNMENT, "test_mmd_is_the_numpy_reference")
KILLED = (RESUME, "test_a_run_that_is_killed_at_a_step_ends_as_if_it_had_not_been")
EARNED = (LOOP, "test_the_checkpoint_is_the_network_that_earned_its_score")

BUGS = [
    # DeepAdversaries
    bug(
        "gradients are never cleared",
        "training/machinery.py",
        (LOOP, "test_gradients_do_not_add_up_over_steps"),
        ("        self.optimiser.zero_grad(set_to_none=True)\n", ""),
    ),
    bug(
        "every step draws a random batch, so an epoch leaves images out",
        "training/feed.py",
        COVERAGE,
        ("generator.permutation(size)", "generator.integers(size, size=size)"),
    ),
    bug(
        "validation looks at one batch",
        "training/judge.py",
        (EVALUATE, "test_validation_images_score_what_training_logged"),
        ("self.valid.labels.cpu().numpy()", "self.valid.labels.cpu().numpy()[:5]"),
        ("predict(run.network, self.valid.images)", "predict(run.network, self.valid.images[:5])"),
    ),
    bug(
        "the score that chooses the weights is that of the epoch before",
        "training/loop.py",
        (LOOP, "test_the_epoch_that_is_kept_is_the_best_of_the_log"),
        ('scores["gate"], scores["score"]', '*((run.history or [scores])[-1][name] for name in ("gate", "score"))'),
    ),
    bug(
        "the best weights go on to be trained",
        "training/selection.py",
        (SELECTION, "test_kept_weights_do_not_follow_the_network"),
        ("tensor.detach().clone()", "tensor"),
    ),
    bug(
        "the last weights are saved as the best",
        "training/train.py",
        (LOOP, "test_the_best_weights_are_restored_when_training_ends"),
        ("        module.load_state_dict(run.selector.best.weights)\n", ""),
    ),
    bug(
        "the figures of the last epoch are kept with the best weights",
        "training/train.py",
        EARNED,
        ("run.history[run.selector.best.epoch]", "run.history[-1]"),
    ),
    bug(
        "the figures of AdaBN are those of the network before it",
        "training/train.py",
        EARNED,
        ("(measured or {})", "{}"),
    ),
    bug(
        "scores are taken in training mode",
        "training/network.py",
        (LOOP, "test_judging_leaves_no_trace_in_the_network"),
        ("    module.eval()\n", ""),
    ),
    bug(
        "the count of bad epochs never begins anew",
        "training/loop.py",
        (LOOP, "test_patience_begins_anew_with_every_better_epoch"),
        (
            "return run.epoch - 1 - run.selector.best.epoch >= settings.patience",
            'return sum(not row["best"] for row in run.history) >= settings.patience',
        ),
    ),
    bug(
        "the process exits when training stops early",
        "training/loop.py",
        (LOOP, "test_early_stopping_returns_the_best_network"),
        ("    bar.close()\n", "    bar.close()\n    raise SystemExit\n"),
    ),
    bug(
        "the penalty asks for a CUDA device",
        "training/alignment/mmd.py",
        (ALIGNMENT, "test_a_penalty_stays_where_its_rows_are"),
        ("squared_distances(rows, rows)  # (N + M, N + M)", "squared_distances(rows.cuda(), rows.cuda())"),
    ),
    bug(
        "each domain is stretched by its own statistics",
        "training/setup.py",
        STRETCHED,
        ("else self.stretch, device)", "else self.stretch.fit(domain.images.images[domain.rows(which)]), device)"),
    ),
    bug(
        "the class weights are those of three classes whatever their number",
        "training/objective.py",
        (LOOP, "test_class_weights_are_those_of_the_paper"),
        ("len(labels) / (classes *", "len(labels) / (3 *"),
    ),
    # DeepMerge
    bug(
        "the discriminator is in no optimiser",
        "training/machinery.py",
        TRAINED,
        ('groups.append({"params": list(objective.alignment.parameters()), "lr": settings.learning_rate})', "pass"),
    ),
    bug(
        "the Fisher centres are in no optimiser",
        "training/machinery.py",
        TRAINED,
        ('groups.append({"params": list(objective.fisher.parameters()), "lr": faster, "weight_decay": 0.0})', "pass"),
    ),
    bug(
        "evaluation draws a split of its own",
        "training/recall.py",
        (EVALUATE, "test_test_images_are_those_that_training_put_aside"),
        (
            "from robustkit.data import Split, open_images",
            "from robustkit.data import Split, open_images, split_images",
        ),
        ("    split = Split(train, valid, test)\n", "    split = split_images(images, seed=1)\n"),
        ('if split.sha256 != data["split_sha256"]:', "if False:"),
    ),
    bug(
        "the hash of the split is not checked",
        "training/recall.py",
        (EVALUATE, "test_a_split_that_was_changed_is_refused"),
        ('if split.sha256 != data["split_sha256"]:', "if False:"),
    ),
    bug(
        "the strength of the gradient reversal is ignored",
        "training/alignment/adversarial.py",
        REVERSED,
        ("return -ctx.strength * gradients[0], None", "return -gradients[0], None"),
    ),
    bug(
        "the gradient is not reversed",
        "training/alignment/adversarial.py",
        REVERSED,
        ("return -ctx.strength * gradients[0], None", "return ctx.strength * gradients[0], None"),
    ),
    bug(
        "the stretch is fitted on test images too",
        "training/domains.py",
        STRETCHED,
        (
            'fit_named_stretch(name or "arcsinh", images.images[domain.rows("train")])',
            'fit_named_stretch("arcsinh", images.images)',
        ),
    ),
    bug(
        "the last image is not stretched",
        "training/domains.py",
        STRETCHED,
        (
            "    if not bool(torch.isfinite(tensor).all()):\n",
            "    tensor[-1] = torch.from_numpy(images.images[positions[-1]])\n"
            "    if not bool(torch.isfinite(tensor).all()):\n",
        ),
    ),
    bug(
        "one-cycle overwrites the betas",
        "training/machinery.py",
        (SETTINGS, "test_the_schedule_leaves_the_betas_alone_and_centres_move_faster"),
        ("cycle_momentum=False,", ""),
    ),
    bug(
        "the Fisher loss is a sum over the batch",
        "training/alignment/regularisers.py",
        (ALIGNMENT, "test_fisher_loss_of_known_scatter"),
        ("(latents - self.centres[labels]).square().sum(1).mean()", "(latents - self.centres[labels]).square().sum()"),
    ),
    bug(
        "certain predictions of one class are the cheapest",
        "training/alignment/regularisers.py",
        (ALIGNMENT, "test_information_loss_wants_certain_and_varied_predictions"),
        ("return (mean * mean.clamp_min(1e-12).log()).sum() - ", "return -"),
    ),
    bug(
        "the entropy of source predictions is lowered too",
        "training/objective.py",
        (LOOP, "test_the_information_loss_looks_at_the_target_alone"),
        ("information_loss(target.logits)", "information_loss(torch.cat([source.logits, target.logits]))"),
    ),
    bug(
        "an object is trained on in one domain and tested on in the other",
        "training/domains.py",
        (DOMAINS, "test_objects_that_both_domains_have_fall_into_the_same_part_whatever_their_order"),
        ("    if not shared.any():\n", "    if True:\n"),
    ),
    # SIDDA
    bug(
        "the transforms of validation are used in training",
        "training/feed.py",
        (LOOP, "test_validation_images_are_not_turned_and_training_images_are"),
        ("        if self.dihedral:\n", "        if False:\n"),
    ),
    bug(
        "the calibration error is the mean of |confidence - correct|",
        "stats/calibration.py",
        (EVALUATE, "test_the_calibration_error_of_a_calibrated_network_is_nearly_zero"),
        ("np.abs((outcomes - confidence) @ onehot)", "np.abs(outcomes - confidence)"),
    ),
    # ShiftKit
    bug(
        "the MMD counts the diagonal",
        "training/alignment/mmd.py",
        (ALIGNMENT, "test_mmd_of_one_distribution_is_zero_on_average"),
        (
            "off_diagonal_mean(kernel[:n, :n]) + off_diagonal_mean(kernel[n:, n:])",
            "kernel[:n, :n].mean() + kernel[n:, n:].mean()",
        ),
    ),
    bug(
        "a source-only run sees target images",
        "training/setup.py",
        (LOOP, "test_a_source_only_run_never_touches_a_target_image"),
        ("if self.target and settings.uses_target else None", "if self.target else None"),
    ),
    bug(
        "target labels are at hand in training",
        "training/domains.py",
        (LOOP, "test_target_labels_reach_neither_training_nor_selection"),
        ("    target_images = replace(target_images, labels=None)\n", ""),
    ),
    bug(
        "a target without labels is refused",
        "training/setup.py",
        (LOOP, "test_a_target_without_labels_works_and_the_oracle_column_does_not_change_the_weights"),
        ("""second is not None and (settings.method == "oracle" or report_oracle):""", "second is not None:"),
    ),
    # Others
    bug(
        "the shorter domain decides the epoch", "training/feed.py", COVERAGE, ("self.steps = max(", "self.steps = min(")
    ),
    bug(
        "a domain that runs out begins again in the same order",
        "training/feed.py",
        (FEED, "test_a_domain_that_runs_out_is_shuffled_anew"),
        (
            "np.concatenate([generator.permutation(size) for _ in range(-(-needed // size))])",
            "np.tile(generator.permutation(size), -(-needed // size))",
        ),
    ),
    bug(
        "the kernels are summed", "training/alignment/mmd.py", REFERENCE, ("torch.stack(values).mean()", "sum(values)")
    ),
    bug(
        "the median distance counts each row's distance to itself",
        "training/alignment/mmd.py",
        REFERENCE,
        ("distances.detach()[others].median()", "distances.detach().median()"),
    ),
    bug(
        "CORAL has another scale than its paper",
        "training/alignment/coral.py",
        (ALIGNMENT, "test_coral_is_the_squared_distance_of_the_covariances"),
        (" / (4 * source.shape[1] ** 2)", ""),
    ),
    bug(
        "the transport cost falls when the latents shrink",
        "training/alignment/sinkhorn.py",
        (ALIGNMENT, "test_sinkhorn_gains_nothing_by_shrinking_the_latents"),
        (
            "source, target = source / spread, target / spread",
            "source, target = source / spread.detach(), target / spread.detach()",
        ),
    ),
    bug(
        "a resumed run has a fresh discriminator",
        "training/machinery.py",
        KILLED,
        ('        self.objective.load_state_dict(state["objective"])\n', ""),
    ),
    bug(
        "a resumed run draws other random numbers",
        "training/machinery.py",
        KILLED,
        ('        torch.set_rng_state(state["random"])\n', ""),
    ),
    bug("a resumed run begins its epoch again", "training/loop.py", KILLED, ("first=run.step", "first=0")),
    bug(
        "a resumed run has a fresh optimiser",
        "training/machinery.py",
        KILLED,
        ('        self.optimiser.load_state_dict(state["optimiser"])\n', ""),
    ),
    bug(
        "other settings are taken up on resume",
        "training/keeping.py",
        (RESUME, "test_other_settings_or_data_are_refused_with_what_differs"),
        ("        if changed:\n", "        if False:\n"),
    ),
    bug(
        "a loss that is not a number goes into the weights",
        "training/watch.py",
        (LOOP, "test_a_loss_that_is_not_a_number_stops_and_names_step_and_images"),
        ("if math.isfinite(loss.item()):", "if True:"),
    ),
]

# A change that makes nonsense of the code would fail for the wrong reason.
NONSENSE = re.compile(r"^E +(NameError|ImportError|ModuleNotFoundError|SyntaxError|AttributeError)", re.MULTILINE)


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """The package and its tests in a folder of their own."""
    folder = tmp_path_factory.mktemp("copy")
    for name in ("robustkit", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def run(copy: Path, *tests: tuple[str, str]) -> subprocess.CompletedProcess[str]:
    names = [f"tests/{file}::{name}" for file, name in tests]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *names]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTEST")}
    environment |= {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, cwd=copy, capture_output=True, text=True, timeout=900)


def test_the_tests_pass_against_the_copy_as_it_is(copy):
    where = "import robustkit; print(robustkit.__file__)"
    found = subprocess.run([sys.executable, "-c", where], cwd=copy, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()).is_relative_to(copy)
    done = run(copy, *sorted({each.test for each in BUGS}))
    assert done.returncode == 0, done.stdout[-3000:]
    assert "skipped" not in done.stdout


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_bug_that_is_put_back_is_noticed(bug, copy):
    path = copy / "robustkit" / bug.file
    sound = changed = path.read_text()
    for old, new in bug.edits:
        assert changed.count(old) == 1, f"{bug.file} holds {changed.count(old)} times: {old}"
        changed = changed.replace(old, new)
    try:
        path.write_text(changed)
        done = run(copy, bug.test)
    finally:
        path.write_text(sound)
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr[-1000:]  # pytest: tests were run, and some failed
    assert re.search(r"^FAILED", done.stdout, re.MULTILINE), done.stdout[-3000:]
    assert not NONSENSE.search(done.stdout), done.stdout[-3000:]
