"""Step 6 where the student is held back: say what goes on serving."""

from kfp import dsl

from components.image import BASE_IMAGE


@dsl.component(base_image=BASE_IMAGE, install_kfp_package=False)
def keep_champion(summary: dsl.Output[dsl.Markdown]) -> str:
    """Leave the endpoint as it is.

    Args:
        summary: what goes on serving, to read.

    Returns:
        An empty JSON object: this run served nothing.
    """
    from components.shared.step import recorded
    from components.shared.summary import publish_summary

    with recorded("keep_champion"):
        publish_summary("# Held back\n\nThe endpoint keeps what it serves: nothing was packaged.", summary.path)
    return "{}"
