#pragma once

#include <dockerd/base/fd.hpp>

#include <concepts>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace dockerd::runtime::wire {

template <typename T>
concept Scalar = std::is_integral_v<T> || std::is_enum_v<T>;

/// In place of the length of a text that the other end has.
constexpr std::uint32_t known_text = UINT32_MAX;

/// Writes fields one after another: numbers in the machine's own order (both ends are one
/// machine), texts and lists with a 32-bit length in front, descriptors as an index into the
/// descriptors that travel beside the bytes.
class Encoder {
public:
    template <typename... Fields>
    void operator()(const Fields&... fields) {
        (put(fields), ...);
    }

    std::string bytes;
    std::vector<int> fds;  ///< borrowed from the structs that were encoded
    /// A text the other end has already, which then does not travel.
    const std::string* known = nullptr;

private:
    template <Scalar T>
    void put(T value) {
        char raw[sizeof value];
        std::memcpy(raw, &value, sizeof value);
        bytes.append(raw, sizeof value);
    }
    void put(const std::string& text) {
        put(static_cast<std::uint32_t>(text.size()));
        bytes.append(text);
    }
    void put(const std::shared_ptr<const std::string>& text) {
        if (!text) return put(std::uint32_t{0});
        if (text.get() == known) return put(known_text);
        put(*text);
    }
    void put(const base::Fd& fd) {
        if (!fd) return put(std::uint32_t{0});
        fds.push_back(fd.get());
        put(static_cast<std::uint32_t>(fds.size()));
    }
    template <typename T>
    void put(const std::vector<T>& list) {
        put(static_cast<std::uint32_t>(list.size()));
        for (const T& item : list) put(item);
    }
    template <typename A, typename B>
    void put(const std::pair<A, B>& both) {
        put(both.first);
        put(both.second);
    }
    template <typename T>
    requires std::is_class_v<T>
    void put(const T& value) { visit(*this, value); }
};

/// Reads what Encoder wrote. After any failure `ok` is false and nothing more is stored; the
/// bytes may come from anywhere, so every length is checked against what is there.
class Decoder {
public:
    Decoder(std::string_view in, std::vector<base::Fd>& received) : in_(in), fds_(received) {}

    template <typename... Fields>
    void operator()(Fields&... fields) {
        (get(fields), ...);
    }

    /// True when every field was there and nothing is left over.
    [[nodiscard]] bool complete() const { return ok_ && in_.empty(); }

    /// What Encoder::known was.
    std::shared_ptr<const std::string> known;

private:
    template <Scalar T>
    void get(T& value) {
        if (!take(sizeof value)) return;
        if constexpr (std::is_same_v<T, bool>) {
            value = in_[0] != 0;
        } else {
            std::memcpy(&value, in_.data(), sizeof value);
        }
        in_.remove_prefix(sizeof value);
    }
    void get(std::string& text) {
        std::uint32_t size = 0;
        get(size);
        if (!take(size)) return;
        text.assign(in_.data(), size);
        in_.remove_prefix(size);
    }
    void get(std::shared_ptr<const std::string>& text) {
        std::uint32_t size = 0;
        get(size);
        if (size == known_text && known) {
            text = known;
            return;
        }
        if (!take(size) || size == 0) return;
        text = std::make_shared<const std::string>(in_.data(), size);
        in_.remove_prefix(size);
    }
    void get(base::Fd& fd) {
        std::uint32_t index = 0;
        get(index);
        if (!ok_ || index == 0) return;
        if (index > fds_.size() || !fds_[index - 1]) {
            ok_ = false;
            return;
        }
        fd = std::move(fds_[index - 1]);
    }
    template <typename T>
    void get(std::vector<T>& list) {
        std::uint32_t size = 0;
        get(size);
        // Every item takes a byte at least, so a forged count cannot make a large allocation.
        if (!take(size)) return;
        list.clear();
        for (std::uint32_t i = 0; i < size && ok_; ++i) get(list.emplace_back());
    }
    template <typename A, typename B>
    void get(std::pair<A, B>& both) {
        get(both.first);
        get(both.second);
    }
    template <typename T>
    requires std::is_class_v<T>
    void get(T& value) {
        if (ok_) visit(*this, value);
    }

    bool take(std::size_t size) {
        if (size > in_.size()) ok_ = false;
        return ok_;
    }

    std::string_view in_;
    std::vector<base::Fd>& fds_;
    bool ok_ = true;
};

template <typename T>
Encoder encode(const T& value) {
    Encoder encoder;
    visit(encoder, value);
    return encoder;
}

/// Fills `value`; false when the bytes are not exactly one T.
template <typename T>
bool decode(std::string_view bytes, std::vector<base::Fd>& fds, T& value,
            std::shared_ptr<const std::string> known = nullptr) {
    Decoder decoder(bytes, fds);
    decoder.known = std::move(known);
    visit(decoder, value);
    return decoder.complete();
}

}  // namespace dockerd::runtime::wire
