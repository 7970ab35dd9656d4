int once(int value) { return value; }
