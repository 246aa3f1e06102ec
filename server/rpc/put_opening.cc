#include "server/rpc/put_opening.h"

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
  return session;
}

void FillResult(const IngestResult& result, v1::PutResult* wire) {
  wire->set_outcome(static_cast<v1::PutOutcome>(result.outcome));
  wire->set_message(result.message);
  wire->set_frame_bytes(result.frame_bytes);
}

}  // namespace larder::server
