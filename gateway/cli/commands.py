"""Which commands there are, in the order in which the help lists them: each one's name, function and help line."""

from __future__ import annotations

from gateway.cli.deferred import Command, Group

MODELS = Group(
    "models",
    "Known models: list, add, pull, verify, render.",
    (
        Command(
            "list",
            "gateway.cli.model_list",
            "list_models",
            "Show the models this installation knows, and which are downloaded, verified and loaded.",
        ),
        Command(
            "add",
            "gateway.cli.model_add",
            "add",
            "Add a model from the hub: read what its repository says, write its card, download and prove it.",
        ),
        Command(
            "pull",
            "gateway.cli.model_pull",
            "pull_models",
            "Download models, or build what is built here; files that are there already stay.",
        ),
        Command(
            "verify",
            "gateway.cli.model_verify",
            "verify_models",
            "Prove models' files: sizes, hashes, graphs, "
            "tokenizer and the value of a known text. Exit code 1 on a fault.",
        ),
        Command(
            "resolve",
            "gateway.cli.model_resolve",
            "resolve",
            "Print the folders of the model repository that "
            "named models consist of; exit code 1 for a name that is none.",
        ),
        Command(
            "render",
            "gateway.cli.model_render",
            "render_models",
            "Write config.pbtxt, and model.py for models of the Python backend, from card.toml.",
        ),
        Command(
            "build-graph",
            "gateway.cli.model_build_graph",
            "build_graph",
            "Print the size and sha256 of the graph that is built for a model, as its card has to state them.",
        ),
    ),
)

GATEWAY = Group(
    "gateway",
    "Embeddings from models you host yourself: an OpenAI-compatible gateway in front of NVIDIA Triton.",
    (
        Command("up", "gateway.cli.up", "up", "Run Triton and the gateway on this machine until Ctrl-C."),
        Command(
            "serve",
            "gateway.cli.serve",
            "serve",
            "Run the gateway alone, against a Triton that runs elsewhere (TRITON_URL).",
        ),
        Command("runpod", "gateway.cli.runpod", "runpod", "Run a RunPod serverless worker; its model is MODEL_NAME."),
        Command("doctor", "gateway.cli.doctor", "doctor", "Check this machine; exit 1 if something has to be mended."),
        Command(
            "bench",
            "gateway.cli.bench",
            "bench",
            "Measure in-process ONNX Runtime, Triton, the gateway "
            "and others in turns. Exit 1 where the vectors differ.",
            epilog="EPILOG",
        ),
        MODELS,
    ),
)
