int once(int value);

int twice(int value) { return once(value) + once(value); }
