"""What every component needs: content keys, the step that is done once per key, and the tracker."""
