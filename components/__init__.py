"""KFP components: thin wrappers, one folder each."""
