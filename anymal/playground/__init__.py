"""The playground: a small world of scenes, clips, sounds and motions with questions about them.

Facts are drawn first; files, captions, questions and answers all follow from the facts.
It trains nothing and knows nothing of models.
"""
