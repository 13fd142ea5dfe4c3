"""Run a build: each step makes an image of the one before, unless the cache has it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.engine.errors import BadParameterError, BuildError
from runtime.engine.service.build import history_comments
from runtime.engine.service.build.bases import Bases
from runtime.engine.service.build.cache import Cache
from runtime.engine.service.build.context import Context
from runtime.engine.service.build.files import FileStep
from runtime.engine.service.build.options import BuildOptions
from runtime.engine.service.build.run_step import PLAIN, RED, StepContainer
from runtime.engine.service.build.squash import squashed
from runtime.engine.service.build.stages import Arguments, Stage, declared, plan_stages
from runtime.engine.service.build.state import StageState, Step
from runtime.engine.service.dockerfile.config_instructions import apply_setting, argv_of, env_mapping
from runtime.engine.service.dockerfile.lexer import expand
from runtime.engine.service.dockerfile.parser import Instruction, parse_dockerfile, parse_instruction
from runtime.engine.service.images.snapshot import snapshot
from runtime.engine.service.model.progress import Lines
from runtime.engine.service.model.request import Config
from runtime.engine.service.rules.mounting import check_volume_paths
from runtime.image.errors import ImageError
from runtime.image.layers.layer_view import LayerView
from runtime.image.store.image import Image
from runtime.image.store.pins import Holder

if TYPE_CHECKING:
    from runtime.engine.service.service import Service


class Builder:
    """One build of one context. scratch: a private directory on the store's file system.

    holder: keeps the images that the build needs, whatever else is removed at the same time.
    """

    def __init__(
        self,
        service: Service,
        options: BuildOptions,
        lines: Lines,
        bases: Bases,
        scratch: Path,
        holder: Holder,
    ) -> None:
        self._holder = holder
        self._service, self._options, self._lines, self._bases = service, options, lines, bases
        self._store = service.images
        self._arguments = Arguments(options.buildargs)
        self._scratch = scratch
        self._done: list[tuple[str, StageState]] = []
        self._step, self._steps = 0, 0
        self._cache: Cache | None = None

    async def run(self, context: Context) -> Image:
        """Build; return the last stage's image. Raises DockerfileError, BuildError, ImageError."""
        options = self._options
        parsed = parse_dockerfile(context.dockerfile, options.dockerfile)
        plan = plan_stages(parsed.instructions, options.target)
        self._cache = await asyncio.to_thread(
            lambda: Cache(self._store, off=options.no_cache, sources=options.cache_from)
        )
        self._steps = plan.steps + len(options.labels)
        for warning in parsed.warnings:
            self._lines.stream(f"{RED}{warning}\n{PLAIN}")
        for instruction in plan.globals:
            self._announce(instruction)
            self._arguments.declare_global(instruction)
        for number, stage in enumerate(plan.stages):
            await self._stage(stage, context, last=number == len(plan.stages) - 1)
        return await self._end()

    async def _end(self) -> Image:
        state = self._done[-1][1]
        image = state.image
        if image is None:
            raise BuildError("No image was generated. Is your Dockerfile empty?")
        if self._options.squash:
            image = await asyncio.to_thread(
                squashed, self._store, image, state.base, self._scratch, self._holder
            )
            self._lines.emit({"aux": {"ID": image.id}})
        unused = self._arguments.unused()
        if unused:
            self._lines.stream(f"[Warning] One or more build-args [{' '.join(unused)}] were not consumed\n")
        return image

    # ---- stages ----------------------------------------------------------------------------------------

    async def _stage(self, stage: Stage, context: Context, *, last: bool) -> None:
        self._announce(stage.first)
        self._arguments.begin_stage()
        state = await self._begin(stage)
        self._done.append((stage.name, state))
        self._arrow(state)
        await self._triggers(state, context)
        instructions = stage.instructions
        if last:
            instructions = (*instructions, *map(_label, sorted(self._options.labels.items())))
        for instruction in instructions:
            self._announce(instruction)
            await self._dispatch(state, instruction, context)
            self._arrow(state)
        if state.image is not None:
            self._lines.emit({"aux": {"ID": state.image.id}})

    async def _begin(self, stage: Stage) -> StageState:
        name = expand(stage.base, self._arguments.globals, stage.first.escape)
        if not name:
            raise BuildError(f"base name ({stage.base}) should not be blank")
        if name == "scratch":
            return StageState.scratch(self._holder)
        for other, state in self._done:
            if other and other == name.lower():
                return state.branch()
        platform = expand(stage.first.flags.get("platform", ""), self._arguments.globals, stage.first.escape)
        image = await self._bases.find(name, platform)
        return await asyncio.to_thread(StageState.of, self._store, image, self._holder)

    async def _triggers(self, state: StageState, context: Context) -> None:
        triggers = state.take_triggers()
        if triggers:
            ending = "" if len(triggers) == 1 else "s"
            self._lines.stream(f"# Executing {len(triggers)} build trigger{ending}\n")
        for text in triggers:
            await self._dispatch(state, parse_instruction(text), context)
            self._arrow(state)

    def _announce(self, instruction: Instruction) -> None:
        self._step += 1
        self._lines.stream(f"Step {self._step}/{self._steps} : {instruction.text}\n")

    def _arrow(self, state: StageState) -> None:
        short = state.image.id.removeprefix("sha256:")[:12] if state.image else ""
        self._lines.stream(f" ---> {short}\n")

    # ---- steps -----------------------------------------------------------------------------------------

    async def _dispatch(self, state: StageState, instruction: Instruction, context: Context) -> None:
        values = self._arguments.values(env_mapping(state.config))
        match instruction.name:
            case "ARG":
                await self._arg(state, instruction, values)
            case "RUN":
                await self._run(state, instruction)
            case "COPY" | "ADD":
                await self._copy(state, instruction, values, context)
            case "WORKDIR":
                await self._workdir(state, instruction, values)
            case "MAINTAINER":
                state.author = instruction.args[0]
                await self._set(state, state.config, f" MAINTAINER {state.author}")
            case _:
                await self._setting(state, instruction, values)

    async def _setting(self, state: StageState, instruction: Instruction, values: Mapping[str, str]) -> None:
        before = state.config
        config = state.reset_command(instruction, apply_setting(instruction, before, values))
        if instruction.name == "HEALTHCHECK" and before.healthcheck and before.healthcheck.test:
            old = " ".join(before.healthcheck.test)
            self._lines.stream(f"Note: overriding previous HEALTHCHECK: [{old}]\n")
        if instruction.name == "VOLUME":
            await self._check_volumes(state, config)
        comment = history_comments.setting_comment(instruction, before, values)
        await self._set(state, config, comment, shell=config if instruction.name == "SHELL" else before)

    async def _check_volumes(self, state: StageState, config: Config) -> None:
        try:
            await asyncio.to_thread(check_volume_paths, state.tree(), config.volumes or ())
        except BadParameterError as error:
            raise BuildError(str(error)) from error

    async def _arg(self, state: StageState, instruction: Instruction, values: Mapping[str, str]) -> None:
        pairs = declared(instruction, values)
        for name, default in pairs:
            self._arguments.declare(name, default)
        await self._set(state, state.config, history_comments.argument_comment(pairs))

    async def _set(
        self, state: StageState, config: Config, comment: str, shell: Config | None = None
    ) -> None:
        """A step that changes nothing but the config."""
        step = Step(history_comments.no_operation(comment, shell or state.config), config)
        if not await self._reuse(state, step):
            await asyncio.to_thread(state.add_setting, self._store, step)

    async def _reuse(self, state: StageState, step: Step) -> bool:
        assert self._cache is not None
        if state.missed:  # nothing can follow from an image that was only just made
            return False
        image = await asyncio.to_thread(self._cache.find, state, step, self._holder)
        if image is None:
            state.missed = True
            return False
        self._lines.stream(" ---> Using cache\n")
        await asyncio.to_thread(state.move_to, self._store, image)
        return True

    async def _run(self, state: StageState, instruction: Instruction) -> None:
        if state.image is None:
            raise BuildError("Please provide a source image with `from` prior to run")
        argv = argv_of(instruction, state.config)
        env, counted = self._arguments.for_run(env_mapping(state.config))
        created_by = " ".join([*([f"|{len(counted)}", *counted] if env else []), *argv])
        step = Step(created_by, state.config)
        if await self._reuse(state, step):
            return
        container = StepContainer(self._service, self._options, self._lines)
        keep = not self._options.force_remove
        try:
            await container.run(state.image.id, argv, env)
            image = await asyncio.to_thread(self._snapshot, state, container.id, step)
            keep = not self._options.remove
        except asyncio.CancelledError:
            keep = False
            raise
        finally:
            if not keep:
                await container.remove()
        await asyncio.to_thread(state.move_to, self._store, image)

    def _snapshot(self, state: StageState, container: str, step: Step) -> Image:
        assert state.image is not None
        return snapshot(
            self._store,
            state.image,
            self._service.containers.directory(container) / "layer" / "u",
            state.next_config(),
            created_by=step.created_by,
            author=state.author,
            step=step.digest,
            holder=self._holder,
        )

    # ---- files -----------------------------------------------------------------------------------------

    async def _copy(
        self, state: StageState, instruction: Instruction, values: Mapping[str, str], context: Context
    ) -> None:
        tree = context.tree
        if "from" in instruction.flags:
            tree = await self._tree_of(expand(instruction.flags["from"], values, instruction.escape))
        files = FileStep(self._store, instruction, values, self._scratch)
        label = await asyncio.to_thread(files.find, tree, state.config.working_dir, state.tree())
        step = Step(history_comments.no_operation(label, state.config), state.config)
        if not await self._reuse(state, step):
            await asyncio.to_thread(files.add_to, state, step)

    async def _tree_of(self, name: str) -> LayerView:
        """Return the image of a COPY --from. Raises BuildError."""
        try:
            return await self._stage_or_image(name)
        except (BuildError, ImageError) as error:
            raise BuildError(f"invalid from flag value {name}: {error}") from error

    async def _stage_or_image(self, name: str) -> LayerView:
        """Return the image of an earlier stage, by name or number, or another image."""
        before = self._done[:-1]
        for other, state in before:
            if other and other == name.lower():
                return state.tree()
        if name.lower() in (self._done[-1][0], str(len(before))):
            raise BuildError("refers to current build stage")
        if name.isdecimal():
            if int(name) >= len(before):
                raise BuildError("index out of bounds")
            return before[int(name)][1].tree()
        image = await self._bases.find(name)
        return (await asyncio.to_thread(StageState.of, self._store, image, self._holder)).tree()

    async def _workdir(self, state: StageState, instruction: Instruction, values: Mapping[str, str]) -> None:
        config = apply_setting(instruction, state.config, values)
        step = Step(history_comments.no_operation(f"WORKDIR {config.working_dir}", state.config), config)
        if not await self._reuse(state, step):
            state.config = config
            files = FileStep(self._store, instruction, values, self._scratch)
            await asyncio.to_thread(files.add_directory, state, config.working_dir, step)


def _label(pair: tuple[str, str]) -> Instruction:
    """Return the LABEL instruction for a label of the request, which is not expanded."""
    quoted = tuple("'" + text.replace("'", "'\"'\"'") + "'" for text in pair)
    return Instruction(name="LABEL", text="LABEL " + "=".join(pair), line=0, pairs=((quoted[0], quoted[1]),))
