"""The text of the built-in model's card. All figures and word lists come from results instead.

The sections are Markdown, in the order in which `card.py` writes them.
"""

HEADER = """# Model card: anymal-tiny

This is the model that ships in `anymal/tiny`. It consists of small frozen encoders for images (and
the frames of videos), audio and motion, an aligner for each of the four modalities, and a small
Llama with LoRA. All parts were trained from scratch on generated media and on a few thousand public
recordings. The model shows the complete path from a file to an answer on a laptop, without a
download. It is a demonstration, not an assistant.

This page is written by

```sh
{command}
```

from measured figures and from `anymal/evaluation/card_text.py`; edit that file, not this one.
"""

USE = """## Intended use

- Trying the project: `anymal ask`, `anymal serve`, the Python client, and `anymal train` as a
  starting point for a recipe.
- Testing, with figures, that a change to the code still trains, serves and answers.

Do **not** use it for monitoring people, for medical or safety decisions, for sign-language
translation, for transcription, or for any commercial purpose (see the licences below). Do not draw
conclusions about a person from its answers.
"""

TRAINING = """## How it was trained

1. The tokeniser and the language model were trained on text alone: passages in which a description
   in words replaces each media item, with questions and answers about one or several of them.
2. Each encoder was trained by itself, on its own kind of media, and then frozen.
3. `align` trained one aligner for each modality, and nothing else. The image aligner first learned
   to put the words of descriptions into its soft tokens. Then all aligners were trained on
   questions, through the frozen language model in NF4. No sample had two media items, but some
   questions compared a media item with another one that was described in words.
4. `instruct` trained the aligners together with LoRA on the language model, on questions about
   every modality, about two media items, and about media that did not come.

Stages 3 and 4 are the two stages of the AnyMAL paper (arXiv 2309.16058). The commands in
`train/recipes/tiny/README.md` made this model. That page says which of them ran when, and how long
they took.

`anymal/tiny/llm/pretraining.json` lists, by kind of question, how many held-out questions about
descriptions in words the language model answered with every token correct, before it was trained
with any media.

The recordings come from few people, so they were augmented: speed, pitch, noise, gain and shift of
audio; rotation, crop and light of photos; rotation, side of the body, gain and noise of the motion
sensor.
"""

WORDS = """## What it can say

It answers in plain English sentences that contain the words below. An answer is correct if it names
exactly the correct one (the longest phrase counts: "walking upstairs" is not "walking"). For
questions such as "does it match?", yes or no decides. A comparison of counts or digits names both
values, then a colon and the verdict, which decides ("The hand shows three and the voice says seven:
the spoken digit is larger."). Orders must be completely correct.

A question that it cannot answer gets one of three kinds of sentences. The medium did not come: "No
sound came with this question." Another kind came: "That is a picture; there is nothing to hear in
it." The question is about something else: "I only know shapes, sounds, phone motion, spoken digits,
hand signs and clothing."
"""

MEASURED = """## How often it is right

All figures are for held-out data: other seeds of the playground, and recordings that were not used
for training. Decoding is greedy. The interval is at 95%: Wilson's, or a bootstrap over recordings
where several questions are about one. *Reference* is an ordinary supervised network, trained on the
same recordings and measured on speakers, people and photos that it was not trained on. Targets are
five points below it. The training data contains all speakers of the digits, so that row says
nothing about other speakers, although its target is for an unseen speaker. *Chance* is one divided
by the number of choices. The questions that must be refused (`refused_...`) are right with the
sentence that fits; those about something else use words and sentences that do not occur in
training. `false_refusals` counts the questions of every kind that were answered at all, rightly or
wrongly, where an answer was possible; some of them come close to those that must be refused. Never
refusing reaches 100% there.
"""

CONTROLS = """## Does it look and listen?

The same questions were asked with blanked media (a grey image, a black clip, silence, a sensor that
reads zero; same size and length), with media swapped for those of another question of the same kind
that has a different answer, and with a medium of another kind (a sound for an image). *Guessing* is
the better of chance and always giving the most frequent answer to that kind of question. Without
its media, a model that relies on them drops to guessing. With swapped media it can drop below
guessing, because the correct answer for the media shown then counts as wrong. Refusals do not
depend on what a medium shows, so they have no controls. *Follows* uses the cases where the same
question was asked about both media: it is how often the model gave the correct answer for the media
that it was shown.
"""

COMPARED = """## Before and after `instruct`

The same questions were asked with the aligners as `align` left them, each trained on one modality
alone. `instruct` started from these aligners. For questions about two media items, the first column
is zero-shot: no aligner had been trained with another one, although each was trained to compare its
media with others that were described in words. The gain is paired by question, with a bootstrap 95%
interval.
"""

DETAILS = """## Where it is right and wrong

These are the same answers by kind of question, or by correct answer.
"""

LICENCES = """## Data and licences

The weights are licensed **CC BY-NC-SA 4.0**, for demonstration. This follows from the combined
licences of the recordings below: non-commercial because of the motion data, share-alike because of
the speech. The code is Apache-2.0. The project contains none of the recordings.

- **Playground** (`anymal/playground`): generated images, videos, sounds, motion and text.
  Apache-2.0.
- **[Free Spoken Digit Dataset](https://github.com/Jakobovski/free-spoken-digit-dataset)**: 2250
  spoken digits by 5 speakers, 8 kHz. CC BY-SA 4.0.
- **[HAPT](https://archive.ics.uci.edu/dataset/341)** (Reyes-Ortiz et al., 2015): acceleration and
  rotation of a phone at the waist, 21 people, 12 activities, 50 Hz. The authors ask for citation;
  "any commercial use is prohibited".
- **[Sign Language Digits](https://github.com/ardamavi/Sign-Language-Digits-Dataset)** (Mavi,
  2020): 1000 photos of hand signs. Apache-2.0.
- **[Fashion-MNIST](https://github.com/zalandoresearch/fashion-mnist)** (Zalando): 600 grey product
  photos. MIT.
"""

LIMITS = """## What it cannot do

- **It knows nothing beyond the words above.** If a question is about anything else, such as the
  capital of a country or the breed of a dog, it says what it knows instead, and so it does where a
  medium did not come or another kind came: the table says how often. It does not notice that
  a medium shows something else: asked what it sees in a photograph of a dog, or what is said in a
  sentence, it confidently answers with one of its own words.
- **It makes more mistakes when there are several objects.** About images, its most frequent errors
  are in complete descriptions of several shapes. In clips of three hand signs, it sometimes
  confuses one sign with another. It is wrong more often about whether two media have the same
  number of objects, or the same colour, than about each of them separately. It was never trained
  on more than three shapes of different kinds, or on more than four signs.
- **It can hardly hold a conversation.** It was trained on English questions of a few forms, a few
  in a row, and on a second media item in a later turn. It was never trained on a third media item,
  or on a question that goes back to the first after a second. It cannot reason, count beyond nine,
  or calculate.
- **Speech** means one English digit in a recording of about a second. The training data contains
  five speakers. Results will be worse with strong accents, children and background noise.
- **Motion** means a phone at the waist, six axes, about 2.5 seconds. Answers are worse if the phone
  is in a hand or a bag, or if another sensor has different axes or units. Changes of posture were
  rare in the data. The weakest answers are about sitting.
- **Hand signs** means one hand on a light, plain background, with the Turkish school's signs for 0
  to 9. Other countries sign digits differently. **Clothing** means small grey product photos, not
  people wearing clothes.
- **Images and clips** of the playground are flat coloured shapes. The model cannot interpret
  photographs of the real world.
- The held-out recordings come from the same collections as the training data, so figures will be
  lower with other microphones, phones and cameras.
- It has no content filters; its only safeguard is that it is small. Media with hidden text or
  adversarial noise were not tested.
"""
