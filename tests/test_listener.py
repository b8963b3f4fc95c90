"""The listener learns what is known of a song, and nothing where nothing is known."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from shared.errors import UserError
from shared.music.notes import NoteVocabulary
from shared.music.song_facts import SongChord, SongFacts
from shared.training.loop import fit
from shared.training.settings import TrainSettings
from stage2_prior.listener.accuracy import ListeningAccuracy, listening_accuracy, mean_accuracy
from stage2_prior.listener.labels import UNKNOWN, FrameLabels
from stage2_prior.listener.network import Heard, Listener, ListenerConfig
from stage2_prior.listener.sequences import (
    HeardSong,
    HidingConfig,
    ListeningSequences,
    collate,
    window,
)
from stage2_prior.listener.task import ListenerTask, ListenerTraining, listening_losses
from stage2_prior.rest_weight import rest_weight
from tests.toy_songs import FORMAT, make_song

CONFIG = ListenerConfig(dim=16, heads=2, depth=1, feedforward=1, dropout=0, window_seconds=1)
FRAMES = 43
DROPPED = FORMAT.cardinality
NOTHING = HidingConfig(drop_source=0, hidden_codes=0)
ON, HELD, REST = NoteVocabulary.onset, NoteVocabulary.sustain, NoteVocabulary.REST
FACTS = {
    "beats": [0.0, 0.5, 1.0, 1.5],
    "downbeats": [0.0],
    "chords": [{"start": 0.0, "end": 1.0, "root": 7, "quality": "maj"}],
}


def song(name: str = "a", **changes: Any) -> HeardSong:
    return HeardSong.of(make_song(name, "train", **changes))


def sequences(hiding: HidingConfig, *names: str) -> ListeningSequences:
    return ListeningSequences([song(name) for name in names or "ab"], FRAMES, DROPPED, hiding)


def test_chords_are_labelled_where_they_are_known() -> None:
    chords = (
        SongChord(0.2, 0.5, 9, "min"),
        SongChord(0.5, 0.7, 0, "a quality of its own"),
        SongChord(0.7, 0.8),
    )
    labels = FrameLabels.of(SongFacts(chords=chords), 10, 10.0)
    assert labels.root.tolist() == [UNKNOWN] * 2 + [9] * 3 + [0] * 2 + [UNKNOWN] * 3
    assert np.flatnonzero(labels.tones[3]).tolist() == [0, 4, 9]
    assert (labels.tones != UNKNOWN).all(1).tolist() == [False] * 2 + [True] * 3 + [False] * 5


def test_the_bass_of_a_slash_chord_is_one_of_its_tones() -> None:
    labels = FrameLabels.of(SongFacts(chords=(SongChord(0, 1, 0, "maj", bass=2),)), 2, 2.0)
    assert np.flatnonzero(labels.tones[0]).tolist() == [0, 2, 4, 7]


def test_beats_are_labelled_and_the_frames_beside_them_are_not() -> None:
    facts = SongFacts(beats=(0.0, 0.5, 0.94, 9.0), downbeats=(0.5,))
    labels = FrameLabels.of(facts, 12, 10.0)
    no = UNKNOWN
    assert labels.beats[:, 0].tolist() == [1, no, 0, 0, no, 1, no, 0, no, 1, no, 0]
    assert labels.beats[:, 1].tolist() == [0, 0, 0, 0, no, 1, no, 0, 0, 0, 0, 0]


def test_a_beat_beside_another_keeps_its_label() -> None:
    labels = FrameLabels.of(SongFacts(beats=(0.0, 0.1, 0.2)), 4, 10.0)
    assert labels.beats[:, 0].tolist() == [1, 1, 1, UNKNOWN]


def test_of_an_unknown_song_nothing_is_labelled() -> None:
    labels = FrameLabels.of(SongFacts(), 5, 10.0)
    assert all((each == UNKNOWN).all() for each in (labels.root, labels.tones, labels.beats))
    heard = song(with_notes=False)
    assert not heard.confidence.any()
    assert not (heard.rests | heard.sounds).any()


def test_a_song_has_every_view_without_its_bass() -> None:
    codes = make_song("a", "valid")
    views = {**codes.views, "without_bass": 1 + codes.views["accompaniment"] % 63}
    both = HeardSong.of(make_song("a", "valid", views=views))
    assert (both.track, both.split, both.frames) == ("a", "valid", 120)
    assert np.array_equal(both.accompaniments[0], views["accompaniment"])
    assert np.array_equal(both.accompaniments[1], views["without_bass"])
    assert np.array_equal(HeardSong.of(codes).accompaniments, both.accompaniments[:1])
    cut = window(both, 10, FRAMES, DROPPED, view=1)
    assert np.array_equal(cut["accompaniment"], views["without_bass"][..., 10 : 10 + FRAMES])


def test_a_window_is_that_part_of_the_song() -> None:
    whole = song(song=FACTS)
    cut = window(whole, 7, FRAMES, DROPPED)
    part = slice(7, 7 + FRAMES)
    assert np.array_equal(cut["note"], whole.notes[part])
    for name in ("root", "tones", "beats"):
        assert np.array_equal(cut[name], getattr(whole.labels, name)[part])


def test_after_the_end_of_a_song_nothing_is_known() -> None:
    cut = window(song(frames=30, song=FACTS), 10, FRAMES, DROPPED)
    assert cut["accompaniment"].shape == (4, 8, FRAMES)
    after = slice(20, None)
    assert (cut["accompaniment"][..., after] == DROPPED).all()
    assert (cut["accompaniment"][..., :20] < DROPPED).all()
    assert (cut["confidence"][:20] == 0.5).all()
    assert not cut["confidence"][after].any()
    for name in ("root", "tones", "beats"):
        assert (cut[name][after] == UNKNOWN).all()
        assert (cut[name][:20] != UNKNOWN).any()


def test_an_item_depends_on_nothing_but_seed_step_and_number() -> None:
    some = sequences(HidingConfig())
    whole = some.batch(1, 2, range(4))
    part = some.batch(1, 2, range(1, 4, 2))
    assert all(torch.equal(whole[name][1::2], part[name]) for name in whole)
    for other in (some.batch(1, 3, range(4)), some.batch(2, 2, range(4))):
        assert not torch.equal(whole["accompaniment"], other["accompaniment"])


def test_nothing_is_hidden_unless_it_is_asked_for() -> None:
    batch = sequences(NOTHING).batch(0, 0, range(16))
    assert (batch["accompaniment"] < DROPPED).all()


def test_codes_are_hidden_one_by_one_as_often_as_it_is_asked_for() -> None:
    hiding = HidingConfig(drop_source=0, hidden_codes=0.2)
    hidden = sequences(hiding).batch(0, 0, range(100))["accompaniment"] == DROPPED
    shares = hidden.float().mean((1, 2, 3))
    assert shares.mean().item() == pytest.approx(0.2, abs=0.03)
    assert shares.min() < 0.05
    assert shares.max() > 0.35


def test_whole_sources_are_dropped_as_often_as_it_is_asked_for() -> None:
    hiding = HidingConfig(drop_source=0.3, hidden_codes=0)
    hidden = sequences(hiding).batch(0, 0, range(100))["accompaniment"] == DROPPED
    dropped = hidden.all(-1).all(-1)
    assert torch.equal(dropped, hidden.any(-1).any(-1))
    assert dropped.float().mean(0).numpy() == pytest.approx(0.3, abs=0.12)


def test_rests_do_not_dominate() -> None:
    notes = np.full(120, ON(30), np.uint8)
    notes[:90] = REST
    confidence = np.ones(120, np.float32)
    confidence[:30] = 0  # what is not known does not count
    heard = song(notes=notes, note_confidence=confidence)
    assert (heard.rests.sum(), heard.sounds.sum()) == (60, 30)
    weight = rest_weight([heard, heard], 0.4)
    assert 60 * weight / (60 * weight + 30) == pytest.approx(0.4)
    assert rest_weight([heard], 0.7) == 1
    assert rest_weight([song(with_notes=False)], 0.4) == 1


def logits(tokens: list[int], size: int) -> torch.Tensor:
    """Logits `[1, F, size]` that leave no doubt."""
    return 50 * torch.nn.functional.one_hot(torch.tensor([tokens]), size).float()


def heard_as(
    notes: list[int],
    roots: list[int] | None = None,
    tones: torch.Tensor | None = None,
    beats: list[tuple[int, int]] | None = None,
) -> Heard:
    """What a listener says that has no doubts; the root is C where nothing else is given."""
    frames = len(notes)
    return Heard(
        logits(notes, NoteVocabulary.size),
        logits(roots or [0] * frames, 12),
        torch.full((1, frames, 12), -50.0) if tones is None else tones,
        100.0 * torch.tensor([beats or [(0, 0)] * frames]) - 50,
    )


def truth(notes: list[int], **known: list[Any]) -> dict[str, torch.Tensor]:
    """A window of which only the notes are known, and what else is given."""
    frames = len(notes)
    unknown = {
        "root": [UNKNOWN] * frames,
        "tones": [[UNKNOWN] * 12] * frames,
        "beats": [[UNKNOWN] * 2] * frames,
        "confidence": [1.0] * frames,
    }
    columns = {"note": notes, **unknown, **known}
    return {name: torch.tensor([column]) for name, column in columns.items()}


def test_the_pitch_class_counts_in_any_octave_where_the_bass_sounds() -> None:
    guess = heard_as([HELD(60), HELD(48), HELD(37), REST, ON(36), ON(36)])
    true = truth([ON(36), HELD(36), HELD(36), HELD(36), REST, HELD(37)])
    assert listening_accuracy(guess, true).pitch_class == pytest.approx(2 / 5)
    true["confidence"][0, 2:4] = 0
    assert listening_accuracy(guess, true).pitch_class == pytest.approx(2 / 3)


def test_the_chord_counts_where_it_is_known() -> None:
    tones = torch.full((1, 4, 12), -50.0)
    tones[..., [0, 4, 7]] = 50
    true = truth(
        [REST] * 4,
        root=[7, 7, 2, UNKNOWN],
        tones=[[1] + [0] * 11, [0] * 12, [UNKNOWN] * 12, [UNKNOWN] * 12],
    )
    figures = listening_accuracy(heard_as([REST] * 4, [7] * 4, tones), true)
    assert figures.root == pytest.approx(2 / 3)
    assert figures.tones == pytest.approx((10 + 9) / 24)


def test_figures_of_what_is_not_known_are_nan() -> None:
    true = truth([REST] * 3, confidence=[0.0] * 3)
    figures = listening_accuracy(heard_as([ON(30)] * 3), true)
    assert all(np.isnan(value) for value in vars(figures).values())


def test_onsets_may_be_a_frame_early_or_late() -> None:
    true = truth([ON(40), *[HELD(40)] * 3] * 2)

    def f1(*places: int, **changes: Any) -> float:
        guess = heard_as([ON(55) if frame in places else HELD(40) for frame in range(8)])
        return listening_accuracy(guess, true | changes).onset_f1

    assert f1(0, 4) == f1(1, 3) == f1(0, 5) == 1
    assert f1(2, 4) == 0.5  # one of two is found, and one of two is right
    assert f1(2, 6) == 0
    assert f1(0) == pytest.approx(2 / 3)
    assert f1() == 0
    assert f1(0, 6, confidence=torch.tensor([[1.0] * 4 + [0.0] * 4])) == 1


def test_an_onset_is_found_where_all_onsets_together_are_probable() -> None:
    probability = torch.full((1, 1, NoteVocabulary.size), 1e-9)
    probability[..., [HELD(40), ON(41), ON(42)]] = torch.tensor([0.4, 0.3, 0.3])
    guess = heard_as([REST])._replace(note=probability.log())
    assert listening_accuracy(guess, truth([ON(40)])).onset_f1 == 1


def test_beats_and_downbeats_have_figures_of_their_own() -> None:
    no = UNKNOWN
    true = truth(
        [REST] * 8,
        beats=[[1, 1], [no, no], [0, 0], [no, 0], [1, 0], [no, 0], [0, 0], [0, 0]],
    )
    beats = [(1, 0)] + [(0, 0)] * 2 + [(0, 1)] + [(0, 0)] * 1 + [(1, 0)] + [(0, 0)] * 2
    figures = listening_accuracy(heard_as([REST] * 8, beats=beats), true)
    assert figures.beat_f1 == 1  # the second is found in a frame without a label
    assert figures.downbeat_f1 == 0


def test_what_is_found_where_no_beat_is_known_does_not_count() -> None:
    no = UNKNOWN
    true = truth([REST] * 6, beats=[[1, 1], [no, no], [0, 0], [no, no], [no, no], [no, no]])
    beats = [(1, 1)] + [(0, 0)] * 4 + [(1, 1)]
    assert listening_accuracy(heard_as([REST] * 6, beats=beats), true).beat_f1 == 1


def test_means_leave_out_what_is_not_known() -> None:
    no = float("nan")
    mean = mean_accuracy(
        [ListeningAccuracy(0.2, 0.5, no, no, 1, 0), ListeningAccuracy(0.4, no, no, 0.3, 0, 1)]
    )
    expected = ListeningAccuracy(0.3, 0.5, no, 0.3, 0.5, 0.5)
    np.testing.assert_allclose([*vars(mean).values()], [*vars(expected).values()])


def random_heard(frames: int) -> Heard:
    torch.manual_seed(0)
    sizes = (NoteVocabulary.size, 12, 12, 2)
    return Heard(*(torch.randn(1, frames, size) for size in sizes))


def test_losses_are_means_over_what_is_known() -> None:
    heard = random_heard(5)
    true = truth(
        [ON(30), HELD(30), REST, REST, ON(50)],
        confidence=[1.0, 0.5, 1.0, 0.0, 0.0],
        root=[3, UNKNOWN, UNKNOWN, UNKNOWN, 5],
        tones=[[UNKNOWN] * 12, [1] * 12, *[[UNKNOWN] * 12] * 3],
        beats=[[1, UNKNOWN], [UNKNOWN, 0], *[[UNKNOWN] * 2] * 3],
    )
    losses = listening_losses(heard, true, rest=0.2)
    nats = -heard.note[0].log_softmax(-1)
    expected = nats[0, ON(30)] + 0.5 * nats[1, HELD(30)] + 0.2 * nats[2, REST]
    assert losses["note"].item() == pytest.approx(float(expected) / 1.7, rel=1e-5)
    root = -heard.root[0].log_softmax(-1)
    assert losses["root"].item() == pytest.approx(float(root[0, 3] + root[4, 5]) / 2, rel=1e-5)
    tones = -heard.tones[0, 1].sigmoid().log().mean()
    assert losses["tones"].item() == pytest.approx(float(tones), rel=1e-5)
    beats = -heard.beats[0, 0, 0].sigmoid().log() - (1 - heard.beats[0, 1, 1].sigmoid()).log()
    assert losses["beats"].item() == pytest.approx(float(beats) / 2, rel=1e-5)


def test_what_is_not_known_costs_nothing() -> None:
    losses = listening_losses(random_heard(3), truth([ON(30)] * 3, confidence=[0.0] * 3), rest=1)
    assert all(loss == 0 for loss in losses.values())


def listener() -> Listener:
    torch.manual_seed(0)
    return Listener(CONFIG, FORMAT).eval()


@torch.no_grad()
def test_every_frame_hears_the_whole_window_and_hidden_codes_are_a_token_of_their_own() -> None:
    model = listener()
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, 64, (1, 4, 8, FRAMES)))
    before = model(codes)
    assert [each.shape for each in before] == [(1, FRAMES, size) for size in (97, 12, 12, 2)]
    changed = codes.clone()
    changed[:, 2, 5, -1] = (changed[:, 2, 5, -1] + 1) % 64
    after = model(changed)
    assert all((old[:, 0] != new[:, 0]).any() for old, new in zip(before, after, strict=True))
    for source in range(4):
        without = codes.clone()
        without[:, source] = model.dropped
        assert not torch.allclose(model(without).note, before.note)


def test_the_sizes_of_the_network_must_fit() -> None:
    with pytest.raises(UserError, match=r"'model\.listener\.dim'"):
        ListenerConfig(dim=36, heads=4)


def task(**weights: Any) -> ListenerTask:
    train = TrainSettings(
        steps=20, batch_size=2, learning_rate=0.02, warmup_steps=2, log_every=20, validate_every=20
    )
    settings = ListenerTraining(train, NOTHING, **weights)
    songs = [song("a", song=FACTS)]
    return ListenerTask(songs, songs, listener(), settings)


def test_the_loss_is_the_weighted_sum_of_its_parts() -> None:
    made = task(note=1, root=2, tones=3, beats=4)
    losses = made.loss(made.model, made.make_batch(0, 0, 1), 0)
    expected = sum(
        weight * losses[name]
        for name, weight in {"note": 1, "root": 2, "tones": 3, "beats": 4}.items()
    )
    assert losses["loss"].item() == pytest.approx(float(expected), rel=1e-5)


def test_processes_share_a_batch() -> None:
    made = task()
    whole = made.make_batch(3, 0, 1)
    parts = [made.make_batch(3, rank, 2) for rank in range(2)]
    for rank, part in enumerate(parts):
        assert torch.equal(part["accompaniment"], whole["accompaniment"][rank::2])


def test_validation_covers_the_songs_and_sums_the_known_figures() -> None:
    made = task()
    starts = [batch["note"][0, 0].item() for batch in made.valid_batches]
    assert starts == [song("a").notes[start] for start in (0, 43, 86)]
    figures = made.validate(made.model)
    known = {name: value for name, value in figures.items() if name != "score"}
    assert set(known) == set(ListeningAccuracy.__dataclass_fields__)
    assert figures["score"] == pytest.approx(sum(known.values()))


def test_training_learns_a_song(tmp_path: Path) -> None:
    made = task()
    before = made.validate(made.model)["score"]
    fit(made, made.settings.train, tmp_path, device="cpu")
    after = made.validate(made.model.eval())
    assert after["score"] > before + 1
    assert after["root"] > 0.9


def test_windows_are_stacked() -> None:
    made = collate([window(song(name), 0, FRAMES, DROPPED) for name in "abc"])
    assert made["accompaniment"].shape == (3, 4, 8, FRAMES)
    assert made["note"].dtype == torch.int64
