#include <algorithm>
#include <map>
#include <numeric>
#include <sstream>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "server/config.h"
#include "server/config_fields.h"
#include "yaml-cpp/eventhandler.h"
#include "yaml-cpp/yaml.h"

namespace larder::server {
namespace {

// Levenshtein: single-character insertions, deletions and replacements from `a` to `b`.
size_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 0; i < a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i + 1);
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

std::string UnknownFieldAdvice(const std::vector<ConfigField>& fields, std::string_view name) {
  // Further away than a third of the name, the nearest is a guess and no help.
  const size_t distance_max = std::max<size_t>(2, name.size() / 3);
  constexpr size_t kNameCharsMax = 64;  // bounds the work; every real name is shorter
  if (name.size() <= kNameCharsMax) {
    const auto distance = [&](const ConfigField& field) { return EditDistance(name, field.name); };
    const auto nearest =
        std::min_element(fields.begin(), fields.end(),
                         [&](const auto& a, const auto& b) { return distance(a) < distance(b); });
    if (distance(*nearest) <= distance_max) {
      return absl::StrCat("did you mean ", nearest->name, "?");
    }
  }
  return "remove it, or see larderd --help for the fields there are";
}

const char* KindOf(const YAML::Node& node) {
  if (node.IsMap()) return "a map";
  if (node.IsSequence()) return "a list";
  return "nothing";
}

std::string PlaceOf(std::string_view source, const YAML::Mark& mark) {
  return absl::StrCat(absl::string_view(source.data(), source.size()), ":", mark.line + 1);
}

// What the flag of the field would say: its text, or a nested field's map. nullopt when it is
// neither.
std::optional<std::string> TextOf(const ConfigField& field, const YAML::Node& value) {
  if (value.IsScalar()) return value.Scalar();
  if (!field.nested || !value.IsMap()) return std::nullopt;
  const auto plain = [](const YAML::Node& node) {
    return node.IsScalar() && node.Scalar().find_first_of(",=+:") == std::string::npos;
  };
  std::vector<std::string> items;
  for (const auto& item : value) {
    if (!plain(item.first) || !item.second.IsMap()) return std::nullopt;
    std::vector<std::string> parts;
    for (const auto& part : item.second) {
      if (!plain(part.first) || !plain(part.second)) return std::nullopt;
      parts.push_back(absl::StrCat(part.first.Scalar(), ":", part.second.Scalar()));
    }
    items.push_back(absl::StrCat(item.first.Scalar(), "=", absl::StrJoin(parts, "+")));
  }
  return absl::StrJoin(items, ",");
}

// The reverse, for a text that is valid.
void EmitNested(const std::string& text, YAML::Emitter& out) {
  if (text.empty()) {
    out << YAML::Flow << YAML::BeginMap << YAML::EndMap;
    return;
  }
  out << YAML::BeginMap;
  for (const absl::string_view item : absl::StrSplit(text, ',')) {
    const std::vector<std::string> parts = absl::StrSplit(item, absl::ByAnyChar("=+"));
    out << YAML::Key << parts[0] << YAML::Value << YAML::Flow << YAML::BeginMap;
    for (size_t i = 1; i < parts.size(); ++i) {
      const std::pair<std::string, std::string> pair = absl::StrSplit(parts[i], ':');
      out << YAML::Key << pair.first << YAML::Value << pair.second;
    }
    out << YAML::EndMap;
  }
  out << YAML::EndMap;
}

// Counts documents. YAML::Load silently takes the first of several, and YAML::LoadAll never returns
// on some malformed input (yaml-cpp 0.7).
class DocumentCounter : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override {
    ++documents;
    last = mark;
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

  int documents = 0;
  YAML::Mark last;
};

// Throws what yaml-cpp throws.
void OverlayDocument(const YAML::Node& document, std::string_view source, Config& config,
                     Faults& faults) {
  if (document.IsNull()) return;  // an empty file: every default holds
  if (!document.IsMap()) {
    faults.push_back(Fault(PlaceOf(source, document.Mark()), KindOf(document),
                           "lines of 'field: value'", "see deploy/larderd.yaml for an example"));
    return;
  }
  const std::vector<ConfigField> fields = ConfigFields();
  std::map<std::string, int> line_of;  // of the fields seen so far
  for (const auto& entry : document) {
    const std::string name = entry.first.IsScalar() ? entry.first.Scalar() : KindOf(entry.first);
    const std::string place = absl::StrCat(PlaceOf(source, entry.first.Mark()), ": ", name);
    const auto field = std::find_if(fields.begin(), fields.end(),
                                    [&](const ConfigField& f) { return f.name == name; });
    if (field == fields.end()) {
      faults.push_back(Fault(place, name, "a known field", UnknownFieldAdvice(fields, name)));
      continue;
    }
    const int line = entry.first.Mark().line + 1;
    if (const auto [first, is_new] = line_of.emplace(name, line); !is_new) {
      faults.push_back(Fault(place, "a second value",
                             absl::StrCat("only that of line ", first->second),
                             "remove one of them"));
      continue;
    }
    if (const auto text = TextOf(*field, entry.second)) {
      ParseField(*field, place, *text, config, faults);
    } else {
      faults.push_back(Fault(place, KindOf(entry.second), field->expected, field->advice));
    }
  }
}

}  // namespace

void OverlayYaml(const std::string& yaml, std::string_view source, Config& config, Faults& faults) {
  try {
    std::istringstream text(yaml);
    YAML::Parser parser(text);
    DocumentCounter counter;
    while (counter.documents < 2 && parser.HandleNextDocument(counter)) {
    }
    if (counter.documents > 1) {
      faults.push_back(Fault(PlaceOf(source, counter.last), "a second document", "one",
                             "remove the '---' between them"));
    }
    OverlayDocument(YAML::Load(yaml), source, config, faults);
  } catch (const YAML::Exception& error) {
    faults.push_back(Fault(PlaceOf(source, error.mark), error.msg, "YAML",
                           "see deploy/larderd.yaml for an example"));
  }
}

absl::StatusOr<Config> ConfigFromYaml(const std::string& yaml, const Config& base) {
  Config config = base;
  Faults faults;
  OverlayYaml(yaml, "yaml", config, faults);
  CheckRanges(config, faults);
  if (absl::Status status = StatusOf(faults); !status.ok()) return status;
  return config;
}

std::string Config::ToYaml() const {
  YAML::Emitter out;
  out << YAML::BeginMap;
  for (const ConfigField& field : ConfigFields()) {
    out << YAML::Key << field.name << YAML::Value;
    if (field.nested) {
      EmitNested(field.format(*this), out);
    } else {
      out << field.format(*this);
    }
  }
  out << YAML::EndMap;
  return std::string(out.c_str(), out.size()) + "\n";
}

}  // namespace larder::server
