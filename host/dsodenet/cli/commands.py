"""What each command does: a function from parsed arguments to an answer, which prints itself and gives its JSON."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

import numpy as np

from dsodenet.adapting import observe
from dsodenet.bench import DEFAULT, Comparison, compare
from dsodenet.command import Answer, Values, json_text, values_text
from dsodenet.contract import board_named
from dsodenet.data import DATASETS, GENERATED, load_dataset
from dsodenet.errors import InputError
from dsodenet.evaluation import evaluate, sample_images
from dsodenet.files import atomic_files
from dsodenet.ladder import LADDER, verify
from dsodenet.runs import Run, check_folder, check_output
from dsodenet.runtime import Classification
from dsodenet.spec import SIZES, Params, Spec
from dsodenet.text import progress_bar, table
from dsodenet.zoo import models

STATISTICS_IMAGES = 512  # of the training split, whose statistics an export holds
MAX_LINES = 100  # images that are listed


def print_spec(args: argparse.Namespace) -> Answer:
    spec = Spec.load(args.spec)
    if args.data is not None:
        from dsodenet.data import dataset_classes

        spec = spec.with_classes(dataset_classes(args.data))
    if args.resize is not None:
        spec = dataclasses.replace(spec, images=dataclasses.replace(spec.images, resize=args.resize))
    return Values(spec.to_dict(), json_text)


def train_run(args: argparse.Namespace) -> Answer:
    spec = Spec.load(args.spec)
    if args.spec in SIZES:  # a ready size takes its classes from the data
        from dsodenet.data import dataset_classes

        spec = spec.with_classes(dataset_classes(args.data))
    if args.weight_bits is not None:
        widths = dataclasses.replace(spec.quantisation, weight_bit_width=args.weight_bits)
        spec = dataclasses.replace(spec, quantisation=widths)
    check_folder(args.out)
    if args.plot is not None:
        check_output(args.plot, ".png")
        from dsodenet.plots import learning_figure, save  # now, so that a missing matplotlib shows before the work
    run = Run(args.out)
    if run.metrics.is_file() and not run.unfinished.exists() and not args.force:
        if args.resume:
            return Values({"run": str(run), "finished": True}, lambda data: f"{run} is finished: nothing to resume")
        raise InputError(f"{run} holds a finished training; --force replaces it, or --out names another folder")
    from dsodenet.data import load_dataset, with_unlabelled
    from dsodenet.training import OPTION_NAMES, PRESETS, Options, train

    if args.preset is not None and args.preset not in PRESETS:
        raise InputError(f"preset is {args.preset!r}, but it must be one of {', '.join(PRESETS)}")
    given = {name: getattr(args, name) for name in OPTION_NAMES if getattr(args, name) is not None}
    options = Options(progress=not args.quiet, **({} if args.preset is None else PRESETS[args.preset]) | given)
    data = load_dataset(args.data, spec.network, spec.images)
    if args.unlabelled is not None:
        from dsodenet.runtime import load_images

        data = with_unlabelled(data, load_images(args.unlabelled, spec)[0])
    target = None if args.target is None else load_dataset(args.target, spec.network, spec.images)
    teachers = args.teacher.split(",") if args.teacher else ()
    given_networks: dict[str, Any] = {"target": target, "teachers": teachers, "start": args.start}
    metrics = train(spec, data, args.out, options, args.recipe, resume=args.resume, **given_networks)
    kept = {key: value for key, value in metrics.items() if key.endswith("_accuracy") and value is not None}
    teachers_told = [{key: teacher[key] for key in ("name", "accuracy")} for teacher in metrics["teachers"]]
    if args.plot is not None:
        save(learning_figure(metrics), args.plot)
    return Values({"run": str(args.out)} | kept | {"teachers": teachers_told}, lambda data: str(metrics))


def list_recipes(args: argparse.Namespace) -> Answer:
    from dsodenet.training import RECIPES, TEACHERS

    described = {name: recipe.description for name, recipe in RECIPES.items()}
    return Values({"recipes": described, "teachers": list(TEACHERS)}, _recipes_text)


def _recipes_text(data: dict[str, Any]) -> str:
    return values_text(data["recipes"] | {"(teachers)": ", ".join(data["teachers"])})


def list_zoo(args: argparse.Namespace) -> Answer:
    return models()


def export_run(args: argparse.Namespace) -> Answer:
    from dsodenet.exporting import export

    data = args.data or Run(args.run).data_source()
    with progress_bar("export", None, args.quiet) as step:
        params = export(args.run, step)
        if args.data is not None or (data or "").removesuffix(GENERATED) in DATASETS:
            step("statistics")
            images = load_dataset(str(data), params.spec.network, params.spec.images).train_images[:STATISTICS_IMAGES]
            observe(params, images).save(Run(args.run).statistics)
    return Values(
        {
            "run": str(args.run),
            "model": params.spec.name,
            "fingerprint": params.fingerprint,
            "logits_scale": params.logits_scale,
        }
    )


def lower_run(args: argparse.Namespace) -> Answer:
    from dsodenet.hls import concurrent_library, lower, lowered_plan

    with progress_bar("lower", None, args.quiet) as step:
        folder = lower(args.run, step, args.reuse_factor, args.force)
        answer = {"run": str(args.run), "sources": str(folder), "library": str(Run(args.run).csim)}
        if args.concurrent:
            answer["concurrent"] = str(concurrent_library(args.run, step))
    plan = lowered_plan(args.run)
    return Values(answer | {"reuse_factors": plan.factors, "plan": str(plan)})


def verify_run(args: argparse.Namespace) -> Answer:
    params = Params.load(args.run)
    backends = None if args.backends is None else args.backends.split(",")
    images, source = sample_images(args.images, args.run, params, args.data)
    with progress_bar("verify", len(backends or LADDER), args.quiet) as step:
        return verify(
            args.run,
            backends,
            images,
            source=source,
            method=args.solver,
            n_steps=args.n_steps,
            progress=step,
            simulate_with=args.simulate_with,
        )


def evaluate_run(args: argparse.Namespace) -> Answer:
    if args.plot:
        check_output(args.plot, ".png")
        from dsodenet.plots import save  # now, so that a missing matplotlib shows before the work
    with progress_bar("evaluate", None, args.quiet) as step:
        found = evaluate(
            args.run,
            args.data,
            args.backend,
            method=args.solver,
            n_steps=args.n_steps,
            progress=step,
            simulate_with=args.simulate_with,
        )
    if args.plot:
        save(found.figure(), args.plot)
    return found


def run_images(args: argparse.Namespace) -> Answer:
    from dsodenet.runtime import Accelerator, load_images, read_manifest

    model = read_manifest(args.run)[0] if args.run.suffix == ".bit" else Params.load(args.run)
    params = model.with_solver(args.solver, args.n_steps)
    images, sources = load_images(args.input, params)
    if args.output is not None:
        beside = args.output.with_suffix(".json")
        for output, suffix in ((args.output, ".npy"), (beside, ".json")):
            check_output(output, suffix)
        if args.output.exists() and args.output.samefile(args.input):
            raise InputError(f"output is {args.output}, but that is the input")
    solver = params.spec.solver
    with Accelerator(args.run, args.backend, simulate_with=args.simulate_with) as accelerator:
        accelerator.set_solver(solver.method, solver.n_steps)
        found = accelerator.classify(images)
        call = accelerator.last_call
    found = dataclasses.replace(found, sources=tuple(sources))
    assert call is not None
    result = dataclasses.asdict(call) | {
        "model": params.spec.name,
        "fingerprint": params.model_fingerprint,
        "solver": solver.method,
        "n_steps": list(solver.n_steps),
        "classes": found.labels.tolist(),
        **found.to_dict(),
    }
    if args.output is not None:
        with atomic_files(args.output, beside) as (logits_file, json_file):
            with open(logits_file, "wb") as file:
                np.save(file, found.logits, allow_pickle=False)
            json_file.write_text(json_text(result) + "\n", encoding="utf-8")
        result |= {"output": str(args.output)}
    return Values(result, lambda data: _classes_text(found, data))


def _classes_text(found: Classification, data: dict[str, Any]) -> str:
    lines = [*map(str, found[:MAX_LINES])]
    if len(found) > MAX_LINES:
        lines.append(f"... and {len(found) - MAX_LINES} more")
    written = f"; logits in {data['output']}" if "output" in data else ""
    took = f"{data['seconds'] * 1e3:.3g} ms {data['kind']}"
    return "\n".join([*lines, f"{len(found)} images on {data['backend']}, {took}{written}"])


def explore_specs(args: argparse.Namespace) -> Answer:
    from dsodenet.exploration import LIMITS, Goal, Plan, Space, check_plan, explore

    for name, low in (("trials", 1), ("epochs", 0), ("qat_epochs", 1), ("workers", 1), ("seed", 0), ("final_seeds", 1)):
        if getattr(args, name) < low:
            raise InputError(f"{name} is {getattr(args, name)}, but it must be {low} or more")
    spec = Spec.load(args.spec)
    spec = dataclasses.replace(spec, kernel=dataclasses.replace(spec.kernel, name=args.kernel))
    goal = Goal(args.objective, LIMITS | dict(args.limit), args.accuracy)
    plan = Plan(spec, Space.around(spec, dict(args.axis)), goal, args.data, args.epochs, args.qat_epochs, args.seed)
    check_plan(plan, args.final)
    check_folder(args.out)
    if args.plot:
        check_output(args.plot, ".png")
        from dsodenet.plots import front_figure, save
    final = args.final * args.final_seeds
    found = explore(
        plan, args.out, args.trials, args.workers, final_seeds=final, storage=args.storage, progress=not args.quiet
    )
    if args.plot:
        save(front_figure(found.to_dict()), args.plot)
    return found


def bench_model(args: argparse.Namespace) -> Comparison:
    if args.plot:
        check_output(args.plot, ".png")
        from dsodenet.plots import comparison_figure, save  # now, so that a missing matplotlib shows before the work
    with progress_bar("bench", len(args.backends or DEFAULT) + len(args.batches), args.quiet) as step:
        found = compare(args.model, args.backends, args.batches, args.repeats, args.lanes, step, data=args.data)
    if args.plot:
        save(comparison_figure(found.to_dict()), args.plot)
    return found


def build_overlay(args: argparse.Namespace) -> Answer:
    from dsodenet.overlay import build, first_clock, package, publish_from
    from dsodenet.runtime import read_manifest

    if args.package is not None and (args.inputs_only or args.ooc or not args.package.is_file()):
        raise InputError(
            f"package is {args.package}, but it must be a built wheel that is there, and goes with a bitstream"
        )
    if (args.inputs_only, args.ooc, args.built is not None).count(True) > 1:
        raise InputError("--inputs-only, --from and --ooc exclude each other")
    if args.ooc and args.kernel != "rtl":
        raise InputError("kernel is 'hls', but --ooc is for the rtl kernel; Vitis HLS reports the clock of the other")
    if args.out is not None:
        check_folder(args.out)
    elif name := Run(args.run).zoo_name:
        raise InputError(f"run is {name} of the zoo, which is read only, so --out must name a folder")
    about = {"run": str(args.run), "kernel": args.kernel}
    board = board_named(args.board)
    with progress_bar("overlay", None, args.quiet) as step:
        if args.ooc:
            found = first_clock(args.run, args.out, board=board, clock=args.clock, lanes=args.lanes, progress=step)
            return Values(about | {"kind": "estimated by Vivado, out of context"} | found)
        if args.built is not None:
            path = publish_from(args.built, args.run, args.kernel, args.out, clock=args.clock, lanes=args.lanes)
        else:
            path = build(
                args.run,
                args.kernel,
                args.out,
                board=board,
                clock=args.clock,
                strategy=args.strategy,
                debug=args.debug,
                lanes=args.lanes,
                jobs=args.jobs,
                inputs_only=args.inputs_only,
                force=args.force,
                cosim=args.cosim,
                progress=step,
            )
    result: dict[str, Any] = about | {"inputs" if args.inputs_only else "bitstream": str(path)}
    if not args.inputs_only:
        result["clock_mhz"] = read_manifest(path)[1]["build"]["clock_mhz"]
    if args.package is not None:
        result["archive"] = str(package(path, args.package, path.with_suffix(".zip")))
    return Values(result)


def test_board(args: argparse.Namespace) -> Answer:
    from dsodenet.runtime import CHECKS, selftest

    options = {"wait": args.wait} | ({"simulate_with": args.simulate_with} if args.simulate_with else {})
    with progress_bar("selftest", len(CHECKS), args.quiet) as step:
        return selftest(args.board, args.overlay, step, **options)


def examine(args: argparse.Namespace) -> Answer:
    from dsodenet.runtime import doctor

    with progress_bar("doctor", None, args.quiet) as step:
        step("self-test")
        return Values(doctor(args.board, args.overlay), doctor_text)


def doctor_text(data: dict[str, Any]) -> str:
    rows = []
    for name, found in data.items():
        items = found.items() if isinstance(found, dict) and name not in ("overlay", "self_test") else [("", found)]
        if name == "self_test" and "items" in found:
            marks = {True: "ok", False: "FAIL"}
            items = [(item["name"], f"{marks[item['ok']]}: {item['detail']}") for item in found["items"]]
        rows += [(name if not index else "", key, str(value)[:90]) for index, (key, value) in enumerate(items)]
    return table(("about", "", "found"), rows) + "\nnothing of it is personal; send it with --json FILE"


def run_demo(args: argparse.Namespace) -> Answer:
    from dsodenet.cli.demonstration import demo

    return demo(args.out, args.epochs, args.quiet)
