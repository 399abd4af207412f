"""EmojiScenes: the embedded world of small pictures that a rule can judge."""
