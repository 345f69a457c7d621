// How the system's scheduler sees a thread that waits for events.
// It changes no priority and no share of the processor, and refuses to touch any thread but the calling one.
#pragma once

namespace kvasir {

// For the thread of an event loop: asks for a time slice of 0.1 ms. Linux (from 6.12) lets a thread that wakes interrupt one
// with a longer slice than its own, and takes it before those that wait with longer ones. With a slice of the default length
// (up to 2.8 ms) it waits for the end of theirs: of threads that compute, of V8's that collect garbage and compile, of
// workers'. What it starts from then on has the default slice again. Does nothing where the system knows no such wish or
// denies it, nor where the host chose another policy, a long slice or a higher priority: the flag that keeps a short slice
// from being inherited would keep the priority from it too.
void PreferShortTimeSlice();

}  // namespace kvasir
