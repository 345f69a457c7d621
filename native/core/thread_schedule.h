// How the system's scheduler sees threads that compute.
// It changes no priority and no share of the processor, and refuses to touch any thread but the calling one.
#pragma once

namespace kvasir {

// For a thread that computes for milliseconds on end, and for all that it starts from then on: asks for turns of 20 ms.
// Linux (from 6.12) lets a thread that wakes interrupt one that asked for longer turns than its own (2.8 ms at most by
// default), and takes it before those that wait with longer ones: an event loop that wakes on a busy core need not wait for
// the end of turns. Nobody's share changes. Does nothing where the system knows no such wish, or denies it.
void PreferLongTurns();

}  // namespace kvasir
