#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include <dockerd/base/error.hpp>
#include <dockerd/store/bolt.hpp>

namespace dockerd::store {
namespace {

// Source: go.etcd.io/bbolt page.go, db.go, bucket.go. All numbers are the machine's own, which is
// little-endian wherever this runs.
static_assert(std::endian::native == std::endian::little);

constexpr std::uint32_t magic = 0xED0CDAED;
constexpr std::uint32_t version = 2;
constexpr std::uint16_t branch_flag = 0x01;
constexpr std::uint16_t leaf_flag = 0x02;
constexpr std::uint16_t meta_flag = 0x04;
constexpr std::uint16_t freelist_flag = 0x10;
constexpr std::uint32_t bucket_leaf = 0x01;
constexpr std::size_t page_header = 16;
constexpr std::size_t element_size = 16;
constexpr std::size_t bucket_header = 16;
constexpr std::size_t meta_size = 64;
constexpr int max_depth = 32;
constexpr std::uint64_t meta_pages = 2;
/// What a file has room for beyond half as much again.
constexpr std::uint64_t spare_pages = 8;

[[noreturn]] void invalid(const char* where) {
    base::fail(base::ErrorKind::internal, std::string("invalid database: ") + where);
}

template <typename T>
T get(std::string_view bytes, std::size_t at) {
    if (at > bytes.size() || bytes.size() - at < sizeof(T)) invalid("out of bounds");
    T value{};
    std::memcpy(&value, bytes.data() + at, sizeof value);
    return value;
}

template <typename T>
void put(std::string& bytes, std::size_t at, T value) {
    std::memcpy(bytes.data() + at, &value, sizeof value);
}

std::uint64_t fnv1a(std::string_view bytes) {
    std::uint64_t hash = 0xcbf29ce484222325ULL;
    for (const char c : bytes) {
        hash ^= static_cast<unsigned char>(c);
        hash *= 0x100000001b3ULL;
    }
    return hash;
}

struct Meta {
    std::uint32_t page_size = 0;
    std::uint64_t root = 0;
    std::uint64_t sequence = 0;
    std::uint64_t high_water = 0;
    std::uint64_t transaction = 0;
};

bool read_meta(std::string_view file, std::size_t at, Meta& out) {
    if (file.size() < at + page_header + meta_size) return false;
    const std::string_view meta = file.substr(at + page_header, meta_size);
    if (get<std::uint32_t>(meta, 0) != magic || get<std::uint32_t>(meta, 4) != version)
        return false;
    if (get<std::uint64_t>(meta, 56) != fnv1a(meta.substr(0, 56))) return false;
    out.page_size = get<std::uint32_t>(meta, 8);
    out.root = get<std::uint64_t>(meta, 16);
    out.sequence = get<std::uint64_t>(meta, 24);
    out.high_water = get<std::uint64_t>(meta, 40);
    out.transaction = get<std::uint64_t>(meta, 48);
    return out.page_size >= 512 && std::has_single_bit(out.page_size);
}

/// The valid meta pages, of the last transaction first.
std::vector<Meta> valid_metas(std::string_view file) {
    std::vector<Meta> out;
    Meta meta;
    const bool has_first = read_meta(file, 0, meta);
    if (has_first) out.push_back(meta);
    if (has_first && read_meta(file, meta.page_size, meta)) out.push_back(meta);
    // Without the first page the size is unknown: try what bbolt tries.
    for (std::size_t size = 1024; out.empty() && size <= 65536; size *= 2) {
        if (read_meta(file, size, meta)) out.push_back(meta);
    }
    std::ranges::sort(out, std::ranges::greater(), &Meta::transaction);
    return out;
}

Meta choose_meta(std::string_view file) {
    const std::vector<Meta> metas = valid_metas(file);
    if (metas.empty()) invalid("no valid meta page");
    return metas.front();
}

/// Puts what `from` has over `out`.
void lay_over(BoltBucket& out, const BoltBucket& from) {
    out.sequence = from.sequence;
    for (const auto& [key, value] : from.values) out.values[key] = value;
    for (const auto& [name, bucket] : from.buckets) lay_over(out.buckets[name], bucket);
}

class Reader {
public:
    enum class Damage { is_error, is_left_out };

    Reader(std::string_view file, const Meta& meta, Damage damage = Damage::is_error)
        : file_(file),
          meta_(meta),
          leaves_out_(damage == Damage::is_left_out),
          budget_(file.size() / meta.page_size + 1) {}

    void bucket(std::uint64_t root, BoltBucket& out, int depth) {
        if (depth > max_depth) invalid("too deep");
        page(page_at(root), out, depth);
    }

    /// Takes buckets from every page that looks like a leaf, when nothing says which one is the root.
    void every_page(BoltBucket& out) {
        for (std::uint64_t id = 0; id < meta_.high_water; ++id) {
            const std::size_t at = static_cast<std::size_t>(id) * meta_.page_size;
            if (get<std::uint64_t>(file_, at) != id) continue;
            if (get<std::uint16_t>(file_, at + 8) == leaf_flag) bucket(id, out, 0);
        }
        out.values.clear();  // those of other buckets: the root has none of its own
    }

private:
    std::string_view page_at(std::uint64_t id) {
        if (budget_ == 0) invalid("page cycle");
        --budget_;
        if (id >= meta_.high_water) invalid("page number");
        const std::size_t at = static_cast<std::size_t>(id) * meta_.page_size;
        const std::uint64_t overflow = get<std::uint32_t>(file_, at + 12);
        const std::size_t size = static_cast<std::size_t>(overflow + 1) * meta_.page_size;
        if (size > file_.size() - at) invalid("overflow pages");
        return file_.substr(at, size);
    }

    void page(std::string_view page, BoltBucket& out, int depth) {
        const auto flags = get<std::uint16_t>(page, 8);
        const std::size_t count = get<std::uint16_t>(page, 10);
        for (std::size_t i = 0; i < count; ++i) {
            try {
                element(page, flags, page_header + i * element_size, out, depth);
            } catch (const base::Error&) {
                if (!leaves_out_) throw;
            }
        }
    }

    void element(std::string_view page, std::uint16_t flags, std::size_t at, BoltBucket& out,
                 int depth) {
        if ((flags & branch_flag) != 0) {
            bucket(get<std::uint64_t>(page, at + 8), out, depth + 1);
        } else if ((flags & leaf_flag) != 0) {
            leaf(page, at, out, depth);
        } else {
            invalid("page type");
        }
    }

    void leaf(std::string_view page, std::size_t at, BoltBucket& out, int depth) {
        const auto flags = get<std::uint32_t>(page, at);
        const std::size_t position = at + get<std::uint32_t>(page, at + 4);
        const std::size_t key_size = get<std::uint32_t>(page, at + 8);
        const std::size_t value_size = get<std::uint32_t>(page, at + 12);
        if (position > page.size() || key_size > page.size() - position ||
            value_size > page.size() - position - key_size) {
            invalid("element");
        }
        const std::string key(page.substr(position, key_size));
        const std::string_view value = page.substr(position + key_size, value_size);
        if ((flags & bucket_leaf) == 0) {
            out.values[key] = value;
            return;
        }
        BoltBucket& below = out.buckets[key];
        below.sequence = get<std::uint64_t>(value, 8);
        const auto root = get<std::uint64_t>(value, 0);
        if (root != 0) {
            bucket(root, below, depth + 1);
        } else {
            if (depth > max_depth) invalid("too deep");
            this->page(value.substr(bucket_header), below, depth + 1);
        }
    }

    std::string_view file_;
    Meta meta_;
    bool leaves_out_;
    std::size_t budget_;
};

struct Item {
    std::uint32_t flags = 0;
    std::string_view key;
    std::string value;
};

/// The pages of a tree, children before parents, and of the list of free pages behind them.
class Writer {
public:
    Writer(std::uint32_t page_size, std::uint64_t first) : page_size_(page_size), first_(first) {}

    /// The page number of the bucket's root.
    std::uint64_t bucket(const BoltBucket& bucket) { return tree(items(bucket)); }

    /// How many pages a file with two rooms for what was written, and some growth, has.
    [[nodiscard]] std::uint64_t roomy_total() const {
        const std::uint64_t pages = pages_.size() / page_size_;
        const std::uint64_t room = pages + pages / 2 + spare_pages;
        return first_ + 2 * (room + room / 128);  // the list of free pages needs 8 bytes for each
    }

    /// Lists every page of the file that is neither a meta page nor this tree's as free; returns the
    /// list's page. Source: bbolt freelist.go, write.
    std::uint64_t free_list(std::uint64_t total) {
        const std::uint64_t tree_end = first_ + pages_.size() / page_size_;
        const std::uint64_t list_size =
            (page_header + 8 * (total + 1) + page_size_ - 1) / page_size_;
        std::vector<std::uint64_t> free;
        for (std::uint64_t id = 2; id < total; ++id) {
            if (id < first_ || id >= tree_end + list_size) free.push_back(id);
        }
        std::string page(page_header, '\0');
        put(page, 8, freelist_flag);
        put(page, 10, static_cast<std::uint16_t>(std::min<std::size_t>(free.size(), 0xffff)));
        // More than the header's field can tell: the first number is how many there are.
        if (free.size() >= 0xffff) free.insert(free.begin(), free.size());
        page.append(reinterpret_cast<const char*>(free.data()), 8 * free.size());
        page.resize(list_size * page_size_);
        return append(std::move(page));
    }

    std::string take() { return std::move(pages_); }

private:
    /// The bucket's pairs and sub-buckets as leaf elements, sorted bytewise.
    std::vector<Item> items(const BoltBucket& bucket) {
        std::vector<Item> out;
        for (const auto& [key, value] : bucket.values) out.push_back({0, key, value});
        for (const auto& [key, below] : bucket.buckets) {
            out.push_back({bucket_leaf, key, nested(below)});
        }
        std::ranges::sort(out, {}, &Item::key);
        return out;
    }

    /// A sub-bucket as a value: whole when it is small, else a reference to its root.
    std::string nested(const BoltBucket& bucket) {
        const std::vector<Item> own = items(bucket);
        std::string value(bucket_header, '\0');
        put(value, 8, bucket.sequence);
        if (bucket.buckets.empty() && leaf_size(own, 0, own.size()) <= page_size_ / 4) {
            value += leaf(own, 0, own.size());
        } else {
            put(value, 0, tree(own));
        }
        return value;
    }

    static std::size_t leaf_size(const std::vector<Item>& items, std::size_t from, std::size_t to) {
        std::size_t size = page_header;
        for (std::size_t i = from; i < to; ++i) {
            size += element_size + items[i].key.size() + items[i].value.size();
        }
        return size;
    }

    static std::string leaf(const std::vector<Item>& items, std::size_t from, std::size_t to) {
        std::string page(page_header + (to - from) * element_size, '\0');
        put(page, 8, leaf_flag);
        put(page, 10, static_cast<std::uint16_t>(to - from));
        for (std::size_t i = from; i < to; ++i) {
            const std::size_t at = page_header + (i - from) * element_size;
            put(page, at, items[i].flags);
            put(page, at + 4, static_cast<std::uint32_t>(page.size() - at));
            put(page, at + 8, static_cast<std::uint32_t>(items[i].key.size()));
            put(page, at + 12, static_cast<std::uint32_t>(items[i].value.size()));
            page += items[i].key;
            page += items[i].value;
        }
        return page;
    }

    /// Writes one page, with overflow pages behind it if need be; returns its number.
    std::uint64_t append(std::string page) {
        const std::uint64_t id = first_ + pages_.size() / page_size_;
        const std::size_t pages = (page.size() + page_size_ - 1) / page_size_;
        put(page, 0, id);
        put(page, 12, static_cast<std::uint32_t>(pages - 1));
        page.resize(pages * page_size_);
        pages_ += page;
        return id;
    }

    struct Child {
        std::string_view key;
        std::uint64_t page = 0;
    };

    std::uint64_t tree(const std::vector<Item>& items) {
        std::vector<Child> level;
        std::size_t from = 0;
        do {
            std::size_t to = from;
            while (to < items.size() && to - from < 0xffff &&
                   (to == from || leaf_size(items, from, to + 1) <= page_size_)) {
                ++to;
            }
            const std::string_view key = from < items.size() ? items[from].key : std::string_view();
            level.push_back({key, append(leaf(items, from, to))});
            from = to;
        } while (from < items.size());
        while (level.size() > 1) level = branch_level(level);
        return level.front().page;
    }

    std::vector<Child> branch_level(const std::vector<Child>& below) {
        std::vector<Child> out;
        for (std::size_t from = 0; from < below.size();) {
            std::size_t size = page_header;
            std::size_t to = from;
            while (to < below.size() &&
                   (to - from < 2 || size + element_size + below[to].key.size() <= page_size_)) {
                size += element_size + below[to].key.size();
                ++to;
            }
            // A last branch page with a single child would be legal but odd; take it along.
            if (to + 1 == below.size()) ++to;
            out.push_back({below[from].key, append(branch(below, from, to))});
            from = to;
        }
        return out;
    }

    static std::string branch(const std::vector<Child>& children, std::size_t from,
                              std::size_t to) {
        std::string page(page_header + (to - from) * element_size, '\0');
        put(page, 8, branch_flag);
        put(page, 10, static_cast<std::uint16_t>(to - from));
        for (std::size_t i = from; i < to; ++i) {
            const std::size_t at = page_header + (i - from) * element_size;
            put(page, at, static_cast<std::uint32_t>(page.size() - at));
            put(page, at + 4, static_cast<std::uint32_t>(children[i].key.size()));
            put(page, at + 8, children[i].page);
            page += children[i].key;
        }
        return page;
    }

    std::uint32_t page_size_;
    std::uint64_t first_;
    std::string pages_;
};

std::string meta_page(const Meta& meta, std::uint64_t free_list) {
    std::string page(meta.page_size, '\0');
    put(page, 0, meta.transaction % 2);  // the page's number
    put(page, 8, meta_flag);
    const std::size_t at = page_header;
    put(page, at, magic);
    put(page, at + 4, version);
    put(page, at + 8, meta.page_size);
    put(page, at + 16, meta.root);
    put(page, at + 24, meta.sequence);
    put(page, at + 32, free_list);
    put(page, at + 40, meta.high_water);
    put(page, at + 48, meta.transaction);
    put(page, at + 56, fnv1a(std::string_view(page).substr(at, 56)));
    return page;
}

}  // namespace

BoltBucket parse_bolt(std::string_view file, std::uint64_t* transaction, std::uint32_t* page_size) {
    const Meta meta = choose_meta(file);
    if (transaction != nullptr) *transaction = meta.transaction;
    if (page_size != nullptr) *page_size = meta.page_size;
    BoltBucket root;
    root.sequence = meta.sequence;
    Reader(file, meta).bucket(meta.root, root, 0);
    return root;
}

/// The tree of the transaction before the last one lies in other pages: what is whole of it is there, but
/// for one change, and what can still be read of the newer one is put over it.
BoltBucket salvage_bolt(std::string_view file) {
    Meta meta;
    meta.page_size = 4096;
    BoltBucket root;
    const std::vector<Meta> metas = valid_metas(file);
    for (auto at = metas.rbegin(); at != metas.rend(); ++at) {
        meta = *at;
        const bool is_last = at + 1 == metas.rend();
        try {
            BoltBucket read;
            read.sequence = meta.sequence;
            Reader(file, meta, is_last ? Reader::Damage::is_left_out : Reader::Damage::is_error)
                .bucket(meta.root, read, 0);
            lay_over(root, read);
        } catch (const base::Error&) {
            // No way in.
        }
    }
    if (!root.buckets.empty()) return root;
    // All pages are looked at.
    meta.high_water = file.size() / meta.page_size;
    try {
        Reader(file, meta, Reader::Damage::is_left_out).every_page(root);
    } catch (const base::Error&) {
        root.values.clear();
    }
    return root;
}

std::string format_bolt(const BoltBucket& root, std::uint64_t transaction,
                        std::uint32_t page_size) {
    Writer writer(page_size, meta_pages);
    Meta meta{.page_size = page_size, .root = writer.bucket(root), .sequence = root.sequence};
    meta.high_water = writer.roomy_total();
    const std::uint64_t free_list = writer.free_list(meta.high_water);
    // The higher number is the current one; page numbers follow its parity.
    std::array<std::string, 2> metas;
    for (meta.transaction = transaction; meta.transaction < transaction + 2; ++meta.transaction) {
        metas[meta.transaction % 2] = meta_page(meta, free_list);
    }
    std::string file = metas[0] + metas[1] + writer.take();
    file.resize(meta.high_water * page_size);
    return file;
}

std::optional<BoltChange> format_bolt_change(const BoltBucket& root, std::uint64_t transaction,
                                             std::uint64_t total, bool second_half,
                                             std::uint32_t page_size) {
    const std::uint64_t half = (total - meta_pages) / 2;
    const std::uint64_t first = meta_pages + (second_half ? half : 0);
    Writer writer(page_size, first);
    Meta meta{.page_size = page_size,
              .root = writer.bucket(root),
              .sequence = root.sequence,
              .high_water = total,
              .transaction = transaction};
    const std::uint64_t free_list = writer.free_list(total);
    BoltChange out{.pages_at = first * page_size,
                   .pages = writer.take(),
                   .meta_at = transaction % 2 * page_size,
                   .meta = meta_page(meta, free_list)};
    if (out.pages.size() > half * page_size) return std::nullopt;
    return out;
}

}  // namespace dockerd::store
