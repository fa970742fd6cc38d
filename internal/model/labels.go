package model

// Labels are the labels of an object, packed in one string: key, NUL, value, NUL, in the order of the keys.
// The API admits no NUL in either.
type Labels string
