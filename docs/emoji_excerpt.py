"""Make the excerpt of Noto emoji that ships with aezoo.

python docs/emoji_excerpt.py emoji_noto_64_rgba.npz        # writes aezoo/datasets/files/emoji.npz

The argument has `images`, (n, 64, 64, 4) uint8, and `short_name` and `skin_tone`, (n,), of the pictures of 64 x 64
pixels in the npm package emoji-datasource-google 16.0.0 (img/google/64).
"""

import sys
from pathlib import Path

import numpy as np

#: Jobs by the short name of the person who is neither woman nor man; those are "female-" and "male-" and the job.
JOBS = {
    **{job: job for job in "artist astronaut cook farmer firefighter judge mechanic pilot scientist singer".split()},
    **{job: job for job in "student teacher technologist".split()},
    **{name.replace("_", "-"): name for name in ("construction_worker", "factory_worker", "office_worker")},
    "detective": "sleuth_or_spy",
    "doctor": "health_worker",
    "guard": "guardsman",
    "police-officer": "cop",
}
#: Cats, by the face that looks the same.
CATS = {
    "crying_cat_face": "cry",
    "heart_eyes_cat": "heart_eyes",
    "joy_cat": "joy",
    "kissing_cat": "kissing_closed_eyes",
    "pouting_cat": "angry",
    "scream_cat": "scream",
    "smile_cat": "grin",
    "smiley_cat": "smiley",
    "smirk_cat": "smirk",
}
FACES = """
angry anguished astonished blush cold_face cold_sweat confounded confused cry disappointed disappointed_relieved
disguised_face dizzy_face dotted_line_face drooling_face exploding_head expressionless face_exhaling
face_holding_back_tears face_in_clouds face_vomiting face_with_bags_under_eyes face_with_cowboy_hat
face_with_diagonal_mouth face_with_hand_over_mouth face_with_head_bandage face_with_monocle
face_with_open_eyes_and_hand_over_mouth face_with_peeking_eye face_with_raised_eyebrow face_with_rolling_eyes
face_with_spiral_eyes face_with_symbols_on_mouth face_with_thermometer fearful flushed frowning grimacing grin grinning
head_shaking_horizontally head_shaking_vertically heart_eyes hot_face hugging_face hushed innocent joy kissing
kissing_closed_eyes kissing_heart kissing_smiling_eyes laughing lying_face mask melting_face money_mouth_face
nauseated_face nerd_face neutral_face no_mouth open_mouth partying_face pensive persevere pleading_face rage relaxed
relieved rolling_on_the_floor_laughing saluting_face scream shaking_face shushing_face sleeping sleepy
slightly_frowning_face slightly_smiling_face smile smiley smiling_face_with_3_hearts smiling_face_with_tear smirk
sneezing_face sob star-struck stuck_out_tongue stuck_out_tongue_closed_eyes stuck_out_tongue_winking_eye sunglasses
sweat sweat_smile thinking_face tired_face triumph unamused upside_down_face weary white_frowning_face wink woozy_face
worried yawning_face yum zany_face zipper_mouth_face
""".split()
TONES = {
    "": "yellow",
    "1F3FB": "light",
    "1F3FC": "medium-light",
    "1F3FD": "medium",
    "1F3FE": "medium-dark",
    "1F3FF": "dark",
}


def factors(name: str, tone: str) -> dict[str, str] | None:
    """Return the factors of an emoji by its short name and the code of its skin tone, or None if it is left out."""
    none = dict.fromkeys(("kind", "person", "job", "skin_tone", "expression", "animal"), "")
    if name in FACES:
        return {**none, "kind": "face", "expression": name}
    if name in CATS:
        return {**none, "kind": "cat", "expression": CATS[name], "animal": "cat"}
    for job, neutral in JOBS.items():
        people = {f"female-{job}": "woman", f"male-{job}": "man", neutral: "person"}
        if name in people:
            return {**none, "kind": "person", "person": people[name], "job": job, "skin_tone": TONES[tone]}
    return None


def excerpt(source: str) -> dict[str, np.ndarray]:
    """Return the pictures, laid on white, and their factors."""
    data = np.load(source)
    rows = []
    for i, (name, tone) in enumerate(zip(data["short_name"].tolist(), data["skin_tone"].tolist(), strict=True)):
        found = factors(name, tone)
        if found is not None:
            rows.append((i, {"name": name, **found}))
    rgba = data["images"][[i for i, _ in rows]].astype("float64")
    alpha = rgba[..., 3:] / 255
    images = np.round(rgba[..., :3] * alpha + 255 * (1 - alpha)).astype("uint8")
    return {"images": images, **{key: np.array([row[key] for _, row in rows]) for key in rows[0][1]}}


if __name__ == "__main__":
    path = Path(__file__).parents[1] / "aezoo" / "datasets" / "files" / "emoji.npz"
    made = excerpt(sys.argv[1])
    np.savez_compressed(path, **made)
    print(f"{len(made['images'])} emoji, {path.stat().st_size / 2**20:.2f} MiB")
