"""The words of the built-in model's card; every figure and word list comes from results instead.

Does not hold results. Sections are Markdown, in the order in which `card.py` writes them.
"""

HEADER = """# Model card: anymal-tiny

The model that ships in `anymal/tiny`: small frozen encoders of images (and the frames of videos),
sounds and motion, an aligner for each of the four modalities, and a small Llama with LoRA, all
trained from nothing on generated media and on a few thousand public recordings. It shows the whole
path from a file to an answer on a laptop, without a download. It is a demonstration, not an
assistant.

This page is written by

```sh
{command}
```

from measured figures and from `anymal/evaluation/card_text.py`; edit that file, not this one.
"""

USE = """## What it is for

- Trying the project: `anymal ask`, `anymal serve`, the Python client, and `anymal train` as a
  starting point for a recipe.
- Testing that a change to the code still trains, serves and answers, with figures.

It is **not** for monitoring people, for medical or safety decisions, for sign-language
translation, for transcription, or for any commercial use (see the licences below). Nothing about
a person should be concluded from its answers.
"""

TRAINING = """## How it was trained

1. The tokeniser and the language model, from text alone: passages in which every medium is
   replaced by a description in words, with questions and answers about one or several of them.
2. Each encoder by itself, on its own kind of media; then frozen.
3. `align`: one aligner for each modality; nothing else trains. That of images first learns to put
   the words of descriptions into its soft tokens; then all are asked questions, through the frozen
   language model in NF4. No sample holds two media, though some compare one medium with another
   that is told in words.
4. `instruct`: the aligners together with LoRA on the language model, on questions of all
   modalities and mixed ones.

Stages 3 and 4 are the two stages of the AnyMAL paper (arXiv 2309.16058). The commands in
`train/recipes/tiny/README.md`, run from nothing, made this model; that page says when, and how long
they took.

How many held-out questions about descriptions in words the language model answers with every token
right, before it has met a medium, is in `anymal/tiny/llm/pretraining.json`, by kind of question.

Recordings were augmented, because few people were recorded: speed, pitch, noise, gain and shift
of sounds; rotation, crop and light of photos; rotation, side of the body, gain and noise of the
motion sensor.
"""

WORDS = """## What it can say

It answers in plain English sentences that contain the words below; an answer is right when it
names exactly the right one (the longest phrase counts: "walking upstairs" is not "walking").
Questions of the kind "does it match?" are decided by the first word, yes or no; orders must be
fully right.
"""

MEASURED = """## How often it is right

Held-out data only: other seeds of the playground, and recordings that were not trained on. Answers
are greedy. The interval is Wilson's at 95%. *Reference* is a plain supervised network trained on
the same recordings and measured on speakers, people and photos outside them; targets are five
points below. All speakers of the digits were trained on, so that row does not tell of others, whom
its target is about. *Chance* is one in the number of choices.
"""

CONTROLS = """## Does it look and listen?

The same questions with the medium blanked (a grey image, a black clip, silence, a sensor that
reads zero; same size and length) and with the medium of another question of the same kind that
has another answer. *Guessing* is the better of chance and of always giving the most frequent
answer to that kind of question; a model that relies on its media comes down to it, or below it
with swapped media, because there the right answer for the shown medium is a wrong one. *Follows*
is how often, where the same question was asked about both media, it gave the right answer for the
medium that it was really shown.
"""

COMPARED = """## Before and after `instruct`

The same questions put to the aligners as `align` left them, each trained on one modality alone;
`instruct` began with them. For questions about two media, that first column is zero-shot: no
aligner had met another one, though each was asked to compare its medium with others that were told
in words. The gain is paired by question, with a bootstrap 95% interval.
"""

DETAILS = """## Where it is right and wrong

The same answers by kind of question, or by right answer.
"""

LICENCES = """## Data and licences

The weights are licensed **CC BY-NC-SA 4.0**, for demonstration: that is what the licences of the
recordings below amount to when taken together (non-commercial because of the motion data,
share-alike because of the speech). The code is Apache-2.0. No recording is part of the project.

- **Playground** (`anymal/playground`): generated images, videos, sounds, motion and text.
  Apache-2.0.
- **[Free Spoken Digit Dataset](https://github.com/Jakobovski/free-spoken-digit-dataset)**: 2250
  spoken digits by 5 speakers, 8 kHz. CC BY-SA 4.0.
- **[HAPT](https://archive.ics.uci.edu/dataset/341)** (Reyes-Ortiz et al., 2015): acceleration and
  rotation of a phone at the waist, 21 people, 12 activities, 50 Hz. Citation asked for; "any
  commercial use is prohibited".
- **[Sign Language Digits](https://github.com/ardamavi/Sign-Language-Digits-Dataset)** (Mavi,
  2020): 1000 photos of hand signs. Apache-2.0.
- **[Fashion-MNIST](https://github.com/zalandoresearch/fashion-mnist)** (Zalando): 600 grey product
  photos. MIT.
"""

LIMITS = """## What it cannot do

- **It knows nothing beyond the words above.** Asked about anything else - a dog, a song, a
  sentence of speech - it answers with one of its own words, and with confidence. It does not say
  that it does not know.
- **It loses its way among many things.** Whole descriptions of several shapes are what it most
  often gets wrong about pictures; of three hand signs in a clip, one is now and then taken for
  another. It is wrong more often about whether two media hold equally many things, or the same
  colour, than about either alone. More than three shapes of different kinds, or more than four
  signs, it has never seen.
- **No conversation to speak of.** It was trained on English questions of a few shapes, a few in a
  row, and on a second medium that comes in a later turn. A third, or a question that goes back to
  the first, it has never met. It cannot reason, count beyond nine, or calculate: where a hand sign
  and a spoken digit differ, it does little better than guess which is larger.
- **Speech** means one English digit in a recording of about a second. Five speakers were heard in
  training; strong accents, children and background noise will do worse.
- **Motion** means a phone at the waist, six axes, some 2.5 seconds. In a hand, in a bag, or from
  another sensor whose axes or units differ, answers are worse. Changes of posture were rare in
  the data, and are the weakest answers.
- **Hand signs** means one hand on a light, plain background, in the Turkish school's signs for 0
  to 9; other countries sign digits differently. **Clothing** means small grey product photos, not
  people wearing clothes.
- **Pictures and clips** of the playground are flat coloured shapes. Photographs of the world mean
  nothing to it.
- Held-out recordings come from the same collections as the training data, so other microphones,
  phones and cameras will lower the figures.
- Its safety rests on its smallness: there are no filters. Media with hidden text or adversarial
  noise were not tested.
"""
