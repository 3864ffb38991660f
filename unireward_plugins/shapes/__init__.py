"""The shapes world: pictures of coloured shapes with an exact truth, and a tiny judge of them.

    scene <- render <- truth        what a picture shows, its pixels, and the scene read back from them
    scene <- questions <- answers <- data        captions, questions, answers, and labelled cases

It proves nothing about large checkpoints: it is what tests and demonstrations run on, where the truth is known.
"""
