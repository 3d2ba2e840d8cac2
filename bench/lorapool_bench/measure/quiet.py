"""Libraries that keep to themselves: a bench's own lines are what is to be read."""

import logging
import warnings

import diffusers
import structlog
import transformers


def quiet() -> None:
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    warnings.filterwarnings("ignore", module="peft")
