#include "server/rpc/put_opening.h"

#include <string>

#include "proto/contract/errors.h"
#include "proto/contract/limits.h"

namespace larder::server {

absl::StatusOr<IngestSession> OpenPut(Backend& backend, const v1::PutOpen& open) {
  if (open.blocks() == 0) return InvalidField("open.blocks", "0", "1 or more");
  if (open.blocks() > kPutBlocksMax) return TooMany("open.blocks", open.blocks(), kPutBlocksMax);
  const auto space = backend.store.spaces().Find(open.space_id());
  if (!space.ok()) return space.status();
  const auto recipe = CodecPolicy::RecipeFor((*space)->codec, open.codec());
  if (!recipe.ok()) return recipe.status();
  IngestSession session = backend.store.OpenIngest(**space, open.blocks());
  session.UseRecipe(*recipe);
  switch (open.durability()) {
    case v1::DURABILITY_UNSPECIFIED:
    case v1::DURABILITY_MEMORY:
      break;
    case v1::DURABILITY_SSD:
      session.AwaitDurable();
      break;
    default:
      return InvalidField("open.durability", std::to_string(open.durability()), "memory or ssd");
  }
  return session;
}

void FillResult(const IngestResult& result, v1::PutResult* wire) {
  wire->set_outcome(static_cast<v1::PutOutcome>(result.outcome));
  wire->set_message(result.message);
  wire->set_frame_bytes(result.frame_bytes);
  wire->set_durable(result.durable);
}

}  // namespace larder::server
