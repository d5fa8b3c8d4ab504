"""`tour`: the whole way in one command, from the bundled text to one page that shows what came of it.

A chapter is a function from the `Trip` to a section of the report; `chapters.CHAPTERS` is the list of them.
"""
