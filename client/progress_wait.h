// How a client waits for a progress slot of its window (proto/contract/shm_window.h). Internal to the client
// library. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>

namespace larder {

// While a server on this host copies a block its next step is about 10 us off, and sleeping would cost more
// than that. Whether `word` is another than `seen`; false after about 30 us.
bool SpinUntilChanged(const std::atomic<uint32_t>& word, uint32_t seen);

// About 0.1 ms, whatever happens.
void Nap();

// Until the word changes and somebody wakes, or the process is interrupted; 5 ms at most, so that no lost
// wake-up costs more.
void SleepOn(std::atomic<uint32_t>& word, uint32_t seen);
void WakeAll(std::atomic<uint32_t>& word);

}  // namespace larder
