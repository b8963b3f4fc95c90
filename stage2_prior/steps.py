"""The steps of `generate-bass`, and what each usually costs on one core of a laptop."""

from shared.estimate import Step

LOAD_PROGRAM = Step("load the program", 3.0)
LOAD_MODELS = Step("load the models", 0.3)

READ = Step("read the song", 0.1, 0.002)
FIND_BASS = Step("look for a bass", 0.2, 0.04)
ENCODE = Step("encode the song", 0.1, 0.009)
HEAR = Step("hear the song", 0.1, 0.005)
WRITE_LINE = Step("write the line", 0.5, 0.06)
RENDER = Step("render the line", 0.1, 0.025)
WRITE_FILES = Step("write the files", 0.5, 0.014)

ONCE = (LOAD_PROGRAM, LOAD_MODELS)
EACH = (READ, FIND_BASS, ENCODE, HEAR, WRITE_LINE, RENDER, WRITE_FILES)
TAKE = (WRITE_LINE, RENDER, WRITE_FILES)


MOST_TAKES = 64


def steps_of(takes: int) -> tuple[Step, ...]:
    """Return the steps of a song of which several takes are written, 64 at most."""
    return EACH + (min(takes, MOST_TAKES) - 1) * TAKE
