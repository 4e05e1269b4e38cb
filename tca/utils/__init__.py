"""Small tools without a subject of their own: checks of arguments, names, text, memory."""
