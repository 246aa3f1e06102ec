// memcpy for pieces of blocks, by who reads them next. Thread-safe; source and target do not overlap.
#pragma once

#include <cstddef>

namespace larder {

// This thread does: without reading the target's cache lines first where the CPU can do that.
// (`rep movsb` avoids that read on current x86 CPUs; elsewhere this is memcpy.)
void CopyBlock(std::byte* target, const std::byte* source, size_t bytes);

// Another core does, or nobody soon: past the caches, from 16 KiB on. Cores that share no cache hand lines which one has
// written over to the other at a quarter of what memory gives; and for what is cached at the source it halves the
// traffic to memory. The bytes are there before anything that this thread stores afterwards.
void StreamBlock(std::byte* target, const std::byte* source, size_t bytes);

// Past the caches at any size, by way of `bounce`, which then holds the same `bytes` bytes in a cache of this core: what is
// verified there is what stands at the target, whoever writes to the source meanwhile. `bounce` overlaps neither. For pieces of
// a few KiB, whose next one the CPU fetches while this one is verified.
void StreamThrough(std::byte* target, std::byte* bounce, const std::byte* source, size_t bytes);
// What this thread has streamed through is there before anything that it stores afterwards.
void EndStreaming();

}  // namespace larder
