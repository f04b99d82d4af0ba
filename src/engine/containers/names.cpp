#include "names.hpp"

#include <algorithm>
#include <array>
#include <random>

#include "errors.hpp"

namespace dockerd::engine {
namespace {

constexpr std::array<std::string_view, 96> adjectives{
    "able",     "agile",   "alert",   "amber",    "ample",    "apt",     "balanced", "bold",
    "brave",    "breezy",  "bright",  "brisk",    "calm",     "candid",  "careful",  "cheerful",
    "clear",    "clever",  "cosmic",  "crisp",    "curious",  "daring",  "deft",     "devoted",
    "diligent", "eager",   "earnest", "elegant",  "epic",     "exact",   "fair",     "famous",
    "fearless", "fervent", "fine",    "firm",     "fluent",   "focused", "frank",    "fresh",
    "gentle",   "genuine", "golden",  "graceful", "grand",    "happy",   "hardy",    "hearty",
    "honest",   "hopeful", "humble",  "inspired", "jolly",    "keen",    "kind",     "lively",
    "loyal",    "lucid",   "lucky",   "mellow",   "merry",    "mindful", "modest",   "musing",
    "neat",     "nimble",  "noble",   "patient",  "peaceful", "playful", "polite",   "precise",
    "prompt",   "proud",   "quick",   "quiet",    "radiant",  "rapid",   "ready",    "sharp",
    "silent",   "sincere", "smart",   "smooth",   "solid",    "spry",    "steady",   "stoic",
    "sunny",    "swift",   "tender",  "thrifty",  "vivid",    "warm",    "wise",     "zesty"};

constexpr std::array<std::string_view, 96> surnames{
    "abel",      "agnesi",    "allen",        "ampere",   "archimedes", "avogadro",  "babbage",
    "bardeen",   "bassi",     "becquerel",    "bell",     "bohr",       "boltzmann", "bose",
    "brahe",     "cantor",    "carnot",       "carson",   "cauchy",     "cerf",      "chandra",
    "codd",      "copernic",  "curie",        "darwin",   "dijkstra",   "dirac",     "edison",
    "einstein",  "engelbart", "euclid",       "euler",    "faraday",    "fermat",    "fermi",
    "feynman",   "franklin",  "galileo",      "galois",   "gauss",      "germain",   "goedel",
    "goodall",   "hamilton",  "hawking",      "hertz",    "herschel",   "hilbert",   "hodgkin",
    "hopper",    "hubble",    "huygens",      "hypatia",  "joule",      "kalam",     "keldysh",
    "kepler",    "knuth",     "kovalevskaya", "lagrange", "lamarr",     "laplace",   "leavitt",
    "leibniz",   "liskov",    "lovelace",     "maxwell",  "mcclintock", "meitner",   "mendel",
    "mendeleev", "minsky",    "mirzakhani",   "newton",   "noether",    "nobel",     "pascal",
    "pasteur",   "pauli",     "perlman",      "planck",   "poincare",   "ptolemy",   "raman",
    "ramanujan", "riemann",   "ritchie",      "rubin",    "sagan",      "shannon",   "tesla",
    "thompson",  "turing",    "volta",        "wiles",    "yalow"};

bool is_alnum(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

}  // namespace

std::string generate_name() {
    thread_local std::mt19937 random{std::random_device{}()};
    const auto pick = [](const auto& words) {
        return words[std::uniform_int_distribution<std::size_t>(0, words.size() - 1)(random)];
    };
    return std::string(pick(adjectives)) + "_" + std::string(pick(surnames));
}

std::string checked_name(std::string_view name) {
    const std::string_view given = name;
    if (name.starts_with('/')) name.remove_prefix(1);
    const auto allowed = [](char c) { return is_alnum(c) || c == '_' || c == '.' || c == '-'; };
    if (name.size() < 2 || !is_alnum(name.front()) || !std::ranges::all_of(name, allowed)) {
        throw errors::invalid_name(given);
    }
    return std::string(name);
}

}  // namespace dockerd::engine
