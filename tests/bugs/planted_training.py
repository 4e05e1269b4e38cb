"""Bugs of tasks, training, records and sweeps."""

from __future__ import annotations

from tests.bugs.bug import Bug

IMAGES = ("tests/tasks/images/test_images.py",)
WRITTEN = ("tests/tca/experiments/records/test_records.py::test_a_run_writes_down_every_rule_with_all_its_parts",)
REGISTERED = ("tests/tca/rules/test_register_rule.py",)
RESUMED = ("tests/tca/cli/test_resume.py",)
CHECKED = ("tests/tca/conformance/test_rule_check.py",)
NOTATION = ("tests/tca/cli/test_notation.py",)
RULES = ("tests/tca/experiments/config/test_rule_config.py",)
CROSSED = ("tests/tca/experiments/training/test_snapshots.py",)
KEPT = (
    "tests/tca/experiments/records/test_records.py::test_networks_are_kept_as_they_were_when_the_loss_was_first_reached",
)
TAKEN_BACK = ("tests/tca/experiments/records/test_records.py::test_what_was_kept_after_the_checkpoint_is_taken_back",)
FILES = ("tests/tca/experiments/records/test_files.py",)
UPDATED = ("tests/tca/experiments/training/test_whole_updates.py",)
ONCE = ("tests/tca/test_checked_trials.py",)
LIGHT = ("tests/tca/experiments/config/test_light_optimizers.py",)
UPDATES = ("tests/tca/experiments/training/test_updates.py",)

TRIALS, TASK = "tasks/images/image_trials.py", "tasks/images/image_task.py"

BUGS = [
    Bug("tca/batch.py", "selections of changed trials taken for checked ones", "and fits[2:] == self._marked()", "and fits", ONCE),
    Bug("tca/connections/connection.py", "connections kept to a parameter that was replaced",
        "found is None or found.weight is not weight or", "found is None or", UPDATED),
    Bug("tca/experiments/config/light_optimizers.py", "steps not counted", "torch._foreach_add_(steps, 1)",
        "torch._foreach_add_(steps, 0)", LIGHT),
    Bug("tca/experiments/training/update.py", "gradients clipped below the bound", "norm > self.chosen.clip:",
        "norm < self.chosen.clip:", UPDATED),
    Bug(TRIALS, "every epoch augmented alike", "generator(seed, AUGMENT, number)", "generator(seed, AUGMENT)", IMAGES),
    Bug("tasks/trials.py", "epochs counted from zero after a resumption",
        "for number, chosen_B in enumerate(order, start)", "for number, chosen_B in enumerate(order)", IMAGES),
    Bug(TASK, "normalised by what is held out", 'fit(self.data.train, self._pools["train"])',
        "fit(self.data.train, torch.arange(len(self.data.train)))", IMAGES),
    Bug(TASK, "trained on what is held out", 'return {**pools, "test"',
        'return {**pools, "train": rows_N, "test"', IMAGES),
    Bug(TASK, "every epoch of a stream in the same order", "shuffled(each)[place_B", "shuffled(0)[place_B", IMAGES),
    Bug("tasks/images/augmentation.py", "images moved the wrong way", "self.padding - drawn_BK",
        "drawn_BK - self.padding", ("tests/tasks/images/test_augmentation.py",)),
    Bug("tasks/images/cache.py", "a cache that never notices new files", "all(_facts(folder / name) == facts for",
        "all((folder / name).exists() for", ("tests/tasks/images/test_cache.py",)),
    Bug("tasks/images/sequential_images.py", "pixels read column by column", "permute(2, 3, 0, 1).flatten(0, 1)",
        "permute(3, 2, 0, 1).flatten(0, 1)", ("tests/tasks/images/test_sequential.py",)),
    Bug("tca/experiments/config/part_config.py", "any class built that a record names",
        "if not isinstance(found, type) or not dataclasses.is_dataclass(found) or not issubclass(found, tuple(classes)):",
        "if False:", (*WRITTEN, *RULES)),
    Bug("tca/utils/class_paths.py", "modules imported that a record names",
        "if not trusted and module.partition", "if False and module.partition", RULES),
    Bug("tca/experiments/config/part_config.py", "options of a rule lost where one of them changes",
        "return {**base, **{name: merged", "return {**{name: merged", RULES),
    Bug("tca/experiments/config/rule_config.py", "a registered rule written without its name",
        'return {"name": found.name, **values} if found.name else values', "return values", REGISTERED),
    Bug("tca/utils/plugins.py", "entry points of a taken name replace rules of the library",
        "if dict.__contains__(self, each.name):", "if False:", REGISTERED),
    Bug("tca/experiments/records/remnants.py", "every file of a folder removed with its record",
        "for name in os.listdir(folder) if NAMES.fullmatch(name) or name in OWN or _is_remnant(name)]",
        "for name in os.listdir(folder)]", RESUMED),
    Bug("tca/experiments/config/run.py", "rules with a form on a perceptron by default",
        "if isinstance(task, Images) and not self.the_rule.form else", "if isinstance(task, Images) else", RESUMED),
    Bug("tca/conformance/properties.py", "targets within the horizon taken for those beyond it",
        "changed(t, slice(last, None))", "changed(t, slice(last, last))", CHECKED),
    Bug("tca/conformance/rule_check.py", "locality checked in no execution", "assert not (it.rule.local and reads)",
        "assert not (it.rule.local and not reads)", CHECKED),
    Bug("tca/conformance/rule_check.py", "wrong gradients allowed", "CLOSE, CLOSE_IN_SINGLE = 1e-10, 1e-3",
        "CLOSE, CLOSE_IN_SINGLE = 10.0, 10.0", CHECKED),
    Bug("tasks/task_check.py", "one set checked twice instead of two", "assert not alike,", "assert alike or not alike,",
        ("tests/tasks/test_task_check.py",)),
    Bug("tca/experiments/sweep/progress.py", "updates within runs forgotten when one of them ends",
        "self.bar.n = max(self.bar.n, self._ended)", "self.bar.n = self._ended",
        ("tests/tca/experiments/sweep/test_progress.py",)),
    Bug("tca/cli/notation.py", "names of a record imported as if the user gave them",
        "import_parts(values, trusted=trusted)", "import_parts(values, trusted=True)", NOTATION),
    Bug("tca/cli/notation.py", "an option of a rule that undoes its file",
        "tree = changes if key in changes else merged(given, changes)", "tree = changes or given", NOTATION),
    Bug("tca/experiments/config/rule_config.py", "a changed rule on cells of any form",
        "rule = dataclasses.replace(base, **parts", "rule = Rule(**parts", RULES),
    Bug("tca/experiments/training/snapshots.py", "replays that change where they begin", "restore(copy.deepcopy(self.before))",
        "restore(self.before)",
        ("tests/tca/experiments/training/test_snapshots.py::test_replays_begin_where_training_was_each_time",)),
    Bug("tca/experiments/training/snapshots.py", "searched in the course itself", "loop.copied(), before", "loop, before", CROSSED),
    Bug("tca/experiments/training/snapshots.py", "a tenth is close enough", "TOLERANCE = 0.01", "TOLERANCE = 0.1", CROSSED),
    Bug("tca/experiments/training/snapshots.py", "no loss is low", "(low, middle) if found <= loss else",
        "(low, middle) if not found > loss else", CROSSED),
    Bug("tca/experiments/training/snapshots.py", "whole updates only", "    search.shorten(low, high, loss)", "    search.loss_after(high)",
        CROSSED),
    Bug("tca/experiments/records/result.py", "what begins below has crossed", "return None if metrics and found is metrics[0] else found",
        "return found", ("tests/tca/experiments/training/test_snapshots.py::test_what_is_measured_first_crosses_nothing",)),
    Bug("tca/experiments/records/record.py", "networks kept whenever the loss is low", "first_at(loss, self.metrics) is self.metrics[-1]",
        "self.metrics[-1].train_loss <= loss", KEPT),
    Bug("tca/experiments/records/record.py", "what was kept after the checkpoint stays", "path_at(folder, loss).unlink(missing_ok=True)",
        "pass", TAKEN_BACK),
    Bug("tca/experiments/records/record.py", "trained again under the lock", "self.ended = finished(folder)", "self.ended = False",
        ("tests/tca/experiments/sweep/test_sweep_robust.py::test_a_run_that_another_has_finished_meanwhile_is_not_trained_again",)),
    Bug("tca/utils/own_files.py", "a link written through", "flags | os.O_NOFOLLOW | os.O_NONBLOCK", "flags | os.O_NONBLOCK",
        FILES),
    Bug("tca/experiments/records/files.py", "lines not on the disk when they are counted",
        "            _write_all(file, content)\n            os.fsync(file.fileno())\n        except",
        "            _write_all(file, content)\n        except", FILES),
    Bug("tca/experiments/records/files.py", "a rename that a power cut undoes", "    _to_disk(path.parent)\n    tidy", "    tidy", FILES),
    Bug("tca/experiments/records/tensor_files.py", "a checkpoint that was edited",
        'if about["sha256"] != _digest(about["state"], tensors):', "if False:",
        ("tests/tca/experiments/records/test_records.py::test_every_changed_byte_of_a_packed_state_is_noticed",)),
    Bug("tca/experiments/sweep/executors.py", "more jobs at once than slots",
        "while self._waiting and len(self._running) < self._slots:", "while self._waiting:",
        ("tests/tca/experiments/sweep/test_sweep.py::test_every_job_of_processes_has_its_own_result",)),
    Bug("tca/experiments/sweep/processes.py", "a result that cannot be unpickled taken for a death",
        "if error.__cause__ is None:", "if True:",
        ("tests/tca/experiments/sweep/test_sweep.py::test_every_job_of_processes_has_its_own_result",)),
    Bug("tca/experiments/sweep/processes.py", "a death at the start taken for a mistake", "return code is None or code < 0 or",
        "return code is None or",
        ("tests/tca/experiments/sweep/test_sweep_robust.py::test_a_worker_that_is_killed_while_it_starts_is_replaced",)),
    Bug("tca/experiments/training/update.py", "step matched to the rule's own square",
        "self.square = past * self.square + (1 - past) * float(g @ g)",
        "self.square = past * self.square + (1 - past) * float(gh @ gh)", UPDATES),
    Bug("tca/experiments/training/update.py", "weights left where the ascent has taken them",
        "        finally:\n            self._assign(before)", "        finally:\n            pass", UPDATES),
    Bug("tca/experiments/training/update.py", "ascent by the gradient itself", "old + each * (sam.radius / norm)",
        "old + each * sam.radius", UPDATES),
    Bug("tca/experiments/training/update.py", "steps lengthened the wrong way", "torch.lerp(old, new.detach(),",
        "torch.lerp(new.detach(), old,", UPDATES),
    Bug("tca/experiments/config/schedules.py", "a phase that begins a step late", "sum(step >= end * steps for",
        "sum(step > end * steps for", UPDATES),
    Bug("tca/experiments/config/components.py", "memory of transposed weights taken as it lies",
        "each.is_contiguous() and each.device.type in FUSED_ON", "each.device.type in FUSED_ON", UPDATES),
    Bug("tca/experiments/config/components.py", "the form of one pass forgotten", '{"fused": True} if', "{} if", UPDATES),
    Bug("tca/experiments/training/update.py", "a bound that is not kept", "norm > self.chosen.clip:", "norm > math.inf:", UPDATES),
    Bug("tca/experiments/training/training_loop.py", "tested on what was trained on",
        "test_loss, test_accuracy = evaluate(net, self.task, self.test_set)",
        "test_loss, test_accuracy = evaluate(net, self.task, self.train_set)", ("tests/tca/experiments/training/test_train.py",)),
    Bug("tca/connections/connection.py", "gradients of few synapses laid out across", "self.masked(gradient).contiguous()",
        "self.masked(gradient)", UPDATES),
]  # fmt: skip
