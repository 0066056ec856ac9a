"""Opens a GGUF file with llama.cpp. No torch here: each brings an OpenMP runtime of its own."""

import llama_cpp


def open_model(path, *, plain_buffers: bool, **arguments) -> llama_cpp.Llama:
    """`plain_buffers` turns off the weights' repacking at load time, and with it the AMX kernels.

    Those crash on more than one token at a time (in `ldtilecfg`) when built with GCC 12 on Sapphire
    Rapids; with one token at a time they are not reached. llama-cpp-python has no argument for it.
    """
    if not plain_buffers:
        return llama_cpp.Llama(str(path), verbose=False, **arguments)
    module = llama_cpp.llama_cpp
    default = module.llama_model_default_params

    def without_extra_buffers():
        params = default()
        params.use_extra_bufts = False
        return params

    module.llama_model_default_params = without_extra_buffers
    try:
        return llama_cpp.Llama(str(path), verbose=False, **arguments)
    finally:
        module.llama_model_default_params = default
