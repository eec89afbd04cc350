"""The page's calls: what cannot be answered ends in words, and not in a traceback."""

import logging

import gradio as gr

from fer_hub.demo.guard import described
from fer_hub.demo.uploads import told

logger = logging.getLogger(__name__)


class Page(gr.Blocks):
    """Gradio's blocks, whose failing calls are a message for the client and a line in the log.

    Gradio itself tells the client nothing where values have another form than a call takes, and logs a traceback.
    """

    async def process_api(self, block_fn, *values, **options):
        """What a call answers, as gradio makes it; raises gr.Error, without a traceback, where there is no answer."""
        try:
            return await super().process_api(block_fn, *values, **options)
        except gr.Error as error:
            if error.print_exception:  # gradio's own
                raise told(error.message[:200]) from error
            raise
        except Exception as error:
            call = getattr(block_fn, "api_name", None) or "a call of the page"
            logger.warning("%s: %s", call, described(error), exc_info=logger.isEnabledFor(logging.DEBUG))
            raise told(
                "this could not be answered. Are these the values that the call takes? The page shows them under *Use "
                "via API*. Files are uploaded first."
            ) from error
