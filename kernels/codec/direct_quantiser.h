// A quantiser whose kernels convert as they load and store, so that rows which no transform changes
// go between the caller's memory and the codes in one pass.
//
// The bytes are the same as by way of fp32 rows; so is what is refused. Stateless, thread-safe.
#pragma once

#include "kernels/codec/element_rows.h"
#include "kernels/codec/row_quantiser.h"

namespace larder {

class DirectQuantiser : public RowQuantiser {
 public:
  // As Encode and Decode of fp32 rows; rows[i] is row begin + i, at most kElementRowsMax of them, which
  // also bounds RowsTogether. EncodeRows is false for values that are not finite as well.
  virtual bool EncodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                          const SourceElements& source, std::byte* out) const = 0;
  virtual void DecodeRows(const QuantiserContext& context, uint32_t begin, uint32_t count,
                          const std::byte* in, const TargetElements& target) const = 0;

  bool Encode(const QuantiserContext& context, uint32_t begin, uint32_t count, float* rows,
              std::byte* out) const final;
  void Decode(const QuantiserContext& context, uint32_t begin, uint32_t count, const std::byte* in,
              float* rows) const final;
};

// QuantiserCodec that spares the fp32 rows when there is no transform. Same layout, same bytes.
class DirectCodec final : public TileCodec {
 public:
  // `quantiser` outlives it.
  explicit DirectCodec(const DirectQuantiser& quantiser)
      : quantiser_(quantiser), transformed_(quantiser) {}

  bool Accepts(const CodecParams& params, TileShape shape) const override {
    return transformed_.Accepts(params, shape);
  }
  uint64_t BytesMax(const CodecParams& params, TileShape shape) const override {
    return transformed_.BytesMax(params, shape);
  }
  bool FixedSize() const override { return true; }
  std::optional<uint64_t> Encode(const TileContext& context, TileShape shape,
                                 const SourceRows& source, Workspace& workspace,
                                 std::byte* out) const override;
  bool Decode(const TileContext& context, TileShape shape, std::span<const std::byte> in,
              Workspace& workspace, const TargetRows& target) const override;

 private:
  const DirectQuantiser& quantiser_;
  const QuantiserCodec transformed_;
};

}  // namespace larder
