// Any bytes as a v1.Manifest, or merged into a valid one: refused, or converted to values that keep
// every promise of convert.h.
#include <google/protobuf/stubs/logging.h>

#include <cstdlib>

#include "proto/contract/convert.h"
#include "proto/contract/errors.h"
#include "tests/unit/proto/contract/example_manifest.h"

namespace {

void Require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const google::protobuf::LogSilencer no_complaints_about_utf8;
  if (size == 0) return 0;
  // Few bytes away from a valid manifest every check is reached; random bytes alone stop at the
  // first.
  const bool merged = data[0] % 4 != 0;
  larder::v1::Manifest wire;
  if (merged) wire = larder::ManifestToWire(larder::ExampleManifest());
  if (!wire.MergeFromString(std::string(data + 1, data + size))) return 0;
  const auto manifest = larder::ManifestFromWire(wire);
  if (!manifest.ok()) {
    Require(manifest.status().code() == absl::StatusCode::kInvalidArgument);
    Require(manifest.status().message().size() <= larder::kErrorTextBytesMax);
    return 0;
  }
  for (const larder::LayerGroup& group : manifest->groups) {
    Require(larder::RawFrameBytes(larder::ShapeOf(*manifest, group)) != 0);
  }
  const auto again = larder::ManifestFromWire(larder::ManifestToWire(*manifest));
  Require(again.ok());
  Require(larder::ManifestDigest(*again) == larder::ManifestDigest(*manifest));
  Require(larder::DiffManifests(*again, *manifest).empty());
  return 0;
}
