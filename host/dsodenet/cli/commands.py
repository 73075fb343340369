"""What each command does: a function from parsed arguments to a result, and how a result reads as text."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from dsodenet import ladder
from dsodenet.bench import DEFAULT, compare, comparison_text
from dsodenet.contract import DEVICE
from dsodenet.errors import InputError
from dsodenet.exploration import search_text
from dsodenet.files import atomic_file, check_output, write_json
from dsodenet.runs import Run, check_folder
from dsodenet.spec import Params, Spec, with_lanes
from dsodenet.text import progress_bar, table

Result = dict[str, Any]
EXPORT_STEPS, LOWER_STEPS, OVERLAY_STEPS = 9, 16, 4  # of a model with three ODE blocks


def spec(args: argparse.Namespace) -> Result:
    return Spec.load(args.spec).to_dict()


def train(args: argparse.Namespace) -> Result:
    spec = Spec.load(args.spec)
    if args.weight_bits is not None:
        spec = dataclasses.replace(
            spec, quantisation=dataclasses.replace(spec.quantisation, weight_bit_width=args.weight_bits)
        )
    check_folder(args.out)
    from dsodenet.data import load_dataset
    from dsodenet.training import OPTION_NAMES, Options, train

    options = Options(
        progress=not args.quiet,
        **{name: getattr(args, name) for name in OPTION_NAMES if getattr(args, name) is not None},
    )
    data, target = (None if name is None else load_dataset(name, spec.network) for name in (args.data, args.target))
    teachers = args.teacher.split(",") if args.teacher else ()
    assert data is not None
    metrics = train(spec, data, args.out, options, args.recipe, target=target, teachers=teachers, resume=args.resume)
    kept = {key: value for key, value in metrics.items() if key.endswith("_accuracy") and value is not None}
    return {"run": str(args.out)} | kept | {f"teacher {t['name']}": t["accuracy"] for t in metrics["teachers"]}


def recipes(args: argparse.Namespace) -> Result:
    from dsodenet.training import RECIPES, TEACHERS

    return {name: recipe.description for name, recipe in RECIPES.items()} | {"(teachers)": ", ".join(TEACHERS)}


def export(args: argparse.Namespace) -> Result:
    from dsodenet.exporting import export

    with progress_bar("export", EXPORT_STEPS, args.quiet) as step:
        params = export(args.run, step)
    return {
        "run": str(args.run),
        "model": params.spec.name,
        "fingerprint": params.fingerprint,
        "logits_scale": params.logits_scale,
    }


def lower(args: argparse.Namespace) -> Result:
    from dsodenet.hls import lower

    with progress_bar("lower", LOWER_STEPS, args.quiet) as step:
        folder = lower(args.run, step)
    return {"run": str(args.run), "sources": str(folder), "library": str(Run(args.run).csim)}


def verify(args: argparse.Namespace) -> Result:
    params = Params.load(args.run)
    backends = args.backends.split(",")
    images, source = ladder.load_images(args.images, args.run, params)
    with progress_bar("verify", len(backends), args.quiet) as step:
        rungs = ladder.verify(args.run, backends, images, None, args.solver, args.n_steps, step, args.kernel)
    solver = params.with_solver(args.solver, args.n_steps).spec.solver
    differing = sum(rung.differing for rung in rungs)
    return {
        "images": source,
        "solver": solver.method,
        "n_steps": list(solver.n_steps),
        "differing": differing,
        "rungs": ladder.as_dict(rungs),
    }


def run(args: argparse.Namespace) -> Result:
    from dsodenet.runtime import Accelerator

    params = Params.load(args.run).with_solver(args.solver, args.n_steps)
    images = ladder.read_images(args.input, params.spec.network)
    for output in (args.output, args.output.with_suffix(".json")):
        check_output(output, output.suffix if output != args.output else ".npy")
    if args.output.exists() and args.output.samefile(args.input):
        raise InputError(f"output is {args.output}, but that is the input")
    solver = params.spec.solver
    options = {} if args.kernel is None else {"kernel": args.kernel}
    with Accelerator(args.run, args.backend, **options) as accelerator:
        accelerator.set_solver(solver.method, solver.n_steps)
        logits = accelerator.predict(images)
        call = accelerator.last_call
    assert call is not None
    result = dataclasses.asdict(call) | {
        "model": params.spec.name,
        "fingerprint": params.model_fingerprint,
        "solver": solver.method,
        "n_steps": list(solver.n_steps),
        "logits_scale": params.logits_scale,
        "classes": logits.argmax(axis=1).tolist(),
    }
    with atomic_file(args.output) as path:
        np.save(path, logits, allow_pickle=False)
    write_json(result, args.output.with_suffix(".json"))
    return result | {"output": str(args.output)}


def estimate(args: argparse.Namespace) -> Result:
    from dsodenet.hls import best_plan
    from dsodenet.rtl import estimate, memory_map, of_spec, rtl_resources
    from dsodenet.spec import macs, parameter_comparison, parameters

    folder = Run.of(args.model).folder
    is_run = folder.is_dir()
    if is_run:
        params = Params.load(folder).with_solver(args.solver, args.n_steps)
        spec = params.spec
    else:
        spec = Spec.load(args.model).with_solver(args.solver, args.n_steps)
    spec = with_lanes(spec, args.lanes)
    result = estimate(dataclasses.replace(params, spec=spec)) if is_run else of_spec(spec)
    sizes = {
        "parameters": parameters(spec),
        "macs_per_section": macs(spec),
        "parameters_compared": parameter_comparison(spec),
    }
    plan = best_plan(spec)
    kernels = {"rtl": rtl_resources(result.engine), "hls": plan.resources}
    return (
        result.to_dict()
        | sizes
        | {
            "table": result.table(),
            "resources": {name: found.to_dict() for name, found in kernels.items()},
            "memory": memory_map(result.engine),
            "hls": plan.to_dict(),
            "hls_text": str(plan),
        }
    )


def explore(args: argparse.Namespace) -> Result:
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
    result = explore(
        plan, args.out, args.trials, args.workers, final_seeds=args.final * args.final_seeds, progress=not args.quiet
    )
    if args.plot:
        save(front_figure(result), args.plot)
    return result


def bench(args: argparse.Namespace) -> Result:
    json_file = args.json if isinstance(args.json, Path) else None
    if json_file:
        check_output(json_file, ".json")
    if args.plot:
        check_output(args.plot, ".png")
        from dsodenet.bench import comparison_figure
        from dsodenet.plots import save  # now, so that a missing matplotlib shows before the work
    with progress_bar("bench", len(args.backends or DEFAULT) + len(args.batches), args.quiet) as step:
        result = compare(args.model, args.backends, args.batches, args.repeats, args.lanes, step)
    if json_file:
        write_json(result, json_file)
    if args.plot:
        save(comparison_figure(result), args.plot)
    return result


def overlay(args: argparse.Namespace) -> Result:
    from dsodenet.overlay import build, package

    if args.package is not None and (args.inputs_only or not args.package.is_file()):
        raise InputError(
            f"package is {args.package}, but it must be a built wheel that is there, and goes with a bitstream"
        )
    if args.out is not None:
        check_folder(args.out)
    elif name := Run(args.run).zoo_name:
        raise InputError(f"run is {name} of the zoo, which is read only, so --out must name a folder")
    with progress_bar("overlay", OVERLAY_STEPS, args.quiet) as step:
        path = build(args.run, args.kernel, args.out, inputs_only=args.inputs_only, progress=step)
    result = {"run": str(args.run), "kernel": args.kernel, "inputs" if args.inputs_only else "bitstream": str(path)}
    if args.package is not None:
        result["archive"] = str(package(path, args.package, path.with_suffix(".zip")))
    return result


def selftest(args: argparse.Namespace) -> Result:
    from dsodenet.runtime import CHECKS, selftest

    with progress_bar("selftest", len(CHECKS), args.quiet) as step:
        report = selftest(args.board, args.overlay, step, **({"kernel": args.kernel} if args.kernel else {}))
    return report.to_dict() | {"text": str(report)}


def show_estimate(result: Result) -> str:
    total, compared = sum(result["parameters"].values()), result["parameters_compared"]
    rows = [
        (name, *(f"{found[kind]:,.0f} ({found[kind] / DEVICE[kind]:.0%})" for kind in DEVICE))
        for name, found in result["resources"].items()
    ]
    memories = ", ".join(f"{name} {size / 1024:,.0f} KiB" for name, size in result["memory"].items())
    return (
        f"{result['model']}, {result['lanes']} lanes of the rtl kernel; estimated by a closed form that equals its simulation\n"
        f"{result['table']}\n{result['macs']:,} multiply-accumulates; {total:,} parameters; without stem and head "
        f"{compared['dsodenet']:,}, against {compared['full']:,} with full convolutions and {compared['residual']:,} unshared\n\n"
        f"XCZU7EV, estimated\n{table(('kernel', *DEVICE), rows)}\n"
        f"rtl: from Yosys' figures of its parts; on chip: {memories}\n"
        f"{result['hls_text']}"
    )


def show_explore(result: Result) -> str:
    return search_text(result)


def show_bench(result: Result) -> str:
    return comparison_text(result)


def show_values(result: Result) -> str:
    def text(value: Any) -> str:
        return f"{value[:8]} ..." if isinstance(value, list) and len(value) > 8 else str(value)

    return "\n".join(f"{key:<16} {text(value)}" for key, value in result.items())


def show_json(result: Result) -> str:
    return json.dumps(result, indent=2)


def show_selftest(result: Result) -> str:
    return str(result["text"])
