"""Writes pillow.json: small pictures in every form that a picture can have, and how Pillow 11.3.0 reads each.

    python pillow.py      # in this folder

The scene is 12 x 9 pixels without any symmetry, so that a picture that was turned, mirrored or shifted is seen. What is
written beside each file is width, height and the pixels as R, G, B: without transparency, deep pixels by their upper
8 bits, turned as the EXIF orientation says, the first of several pictures. null where nobody is asked: what linectl
says of that file is in the test. Two forms of TIFF that Pillow does not know have the pixels that were put in.
"""
import base64
import io
import json
import struct
import zlib

from PIL import Image, ImageOps

W, H = 12, 9


def at(x, y):
    return (20 * x + 5, 25 * y + 10, 250 - 12 * x - 8 * y)


scene = Image.new("RGB", (W, H))
scene.putdata([at(x, y) for y in range(H) for x in range(W)])
smooth = scene.resize((2 * W, 2 * H), Image.BICUBIC)  # for forms with loss
files = {}


def put(name, data, asked=True, known=None):
    entry = {"file": base64.b64encode(data).decode(), "pixels": None}
    if known:  # Pillow cannot read it
        entry |= {"width": W, "height": H, "pixels": base64.b64encode(bytes(known)).decode()}
    elif asked:
        with Image.open(io.BytesIO(data)) as p:
            p.seek(0)
            p = ImageOps.exif_transpose(p)
            if p.mode.startswith("I"):  # 16 bits; Pillow's own conversion would clip them
                p = p.convert("I").point(lambda v: v / 256 - 0.498).convert("L")
            p = p.convert("RGB")
            entry |= {"width": p.width, "height": p.height, "pixels": base64.b64encode(p.tobytes()).decode()}
    files[name] = entry
    return data


def save(name, picture, form, asked=True, **how):
    b = io.BytesIO()
    picture.save(b, form, **how)
    return put(name, b.getvalue(), asked)


def png(width, height, depth, colour, rows, interlaced=0, extra=b""):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def tiff(bits, photometric, samples, data, planar=1):
    """A TIFF of one strip a plane, little-endian."""
    planes = samples if planar == 2 else 1
    def entry(tag, *values, kind=3):
        size = {3: 2, 4: 4}[kind]
        packed = struct.pack("<%d%s" % (len(values), {3: "H", 4: "I"}[kind]), *values)
        return tag, kind, len(values), packed
    tags = [entry(256, W), entry(257, H), entry(258, *[bits] * samples), entry(259, 1), entry(262, photometric),
            entry(273, *[8 + len(data) // planes * i for i in range(planes)], kind=4), entry(277, samples), entry(278, H),
            entry(279, *[len(data) // planes] * planes, kind=4), entry(284, planar)]
    if samples == 4 and photometric == 2:
        tags.append(entry(338, 2))
    at, directory, behind = 8 + len(data), struct.pack("<H", len(tags)), b""
    end = at + 2 + 12 * len(tags) + 4
    for tag, kind, count, packed in tags:
        if len(packed) > 4:
            behind, packed = behind + packed, struct.pack("<I", end + len(behind))
        directory += struct.pack("<HHI", tag, kind, count) + packed.ljust(4, b"\0")
    return b"II*\0" + struct.pack("<I", at) + data + directory + b"\0\0\0\0" + behind


def exif(orientation):
    e = Image.Exif()
    e[0x0112] = orientation
    return e.tobytes()


# JPEG
save("colour.jpg", smooth, "JPEG", quality=95)
save("progressive.jpg", smooth, "JPEG", quality=95, progressive=True)
save("grey.jpg", smooth.convert("L"), "JPEG", quality=95)
save("not-transformed.jpg", smooth, "JPEG", quality=95, keep_rgb=True)
cmyk = save("cmyk-adobe.jpg", smooth.convert("CMYK"), "JPEG", quality=95)
marker = cmyk.index(b"\xff\xee")
length = 2 + struct.unpack(">H", cmyk[marker + 2:marker + 4])[0]
put("cmyk-without-marker.jpg", cmyk[:marker] + cmyk[marker + length:])
put("ycck.jpg", cmyk[:marker + length - 1] + b"\x02" + cmyk[marker + length:])
for n in range(1, 9):
    save(f"turned-{n}.jpg", smooth, "JPEG", quality=95, exif=exif(n))

# PNG
flat = b"".join(b"\0" + bytes(v for x in range(W) for v in at(x, y)) for y in range(H))
deep = b"".join(b"\0" + b"".join(struct.pack(">H", v << 8 | 200) for x in range(W) for v in at(x, y)) for y in range(H))
grey16 = b"".join(b"\0" + b"".join(struct.pack(">H", at(x, y)[0] << 8 | 200) for x in range(W)) for y in range(H))
passes = b""  # Adam7: first column and row, and the steps, of each pass
for x0, y0, dx, dy in [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]:
    for y in range(y0, H, dy):
        passes += b"\0" + bytes(v for x in range(x0, W, dx) for v in at(x, y))
put("colour.png", png(W, H, 8, 2, flat))
put("interlaced.png", png(W, H, 8, 2, passes, interlaced=1))
put("deep.png", png(W, H, 16, 2, deep))
put("deep-grey.png", png(W, H, 16, 0, grey16))
save("grey.png", scene.convert("L"), "PNG")
save("grey-alpha.png", Image.merge("LA", (scene.getchannel(0), scene.getchannel(1))), "PNG")
save("alpha.png", Image.merge("RGBA", (*scene.split(), scene.getchannel(1))), "PNG")
save("one-bit.png", scene.convert("1"), "PNG")
for bits in (1, 2, 4, 8):
    save(f"palette-{bits}.png", scene.quantize(2**bits), "PNG", bits=bits)
save("palette-clear.png", scene.quantize(16), "PNG", transparency=b"\x10" * 16)
for n in range(1, 9):
    save(f"turned-{n}.png", scene, "PNG", exif=exif(n))
other = ImageOps.invert(scene)
save("animated.png", scene, "PNG", save_all=True, append_images=[other], duration=100)
put("wrong-sum.png", png(W, H, 8, 2, flat).replace(zlib.compress(flat, 9)[-4:], b"\0\0\0\0"), asked=False)

# TIFF
for how in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits"):
    save(f"{how or 'plain'}.tif", scene, "TIFF", compression=how)
save("grey.tif", scene.convert("L"), "TIFF")
save("one-bit.tif", scene.convert("1"), "TIFF", compression="group4")
save("palette.tif", scene.quantize(16), "TIFF")
save("alpha.tif", Image.merge("RGBA", (*scene.split(), scene.getchannel(1))), "TIFF")
save("deep-grey.tif", Image.frombytes("I;16", (W, H), b"".join(struct.pack("<H", at(x, y)[0] << 8 | 200) for y in range(H) for x in range(W))), "TIFF")
rgb16 = b"".join(struct.pack("<H", v << 8 | 200) for y in range(H) for x in range(W) for v in at(x, y))
put("deep.tif", tiff(16, 2, 3, rgb16))
put("deep-planes.tif", tiff(16, 2, 3, b"".join(rgb16[2 * c + 6 * i:][:2] for c in range(3) for i in range(W * H)), planar=2), known=scene.tobytes())
put("deep-inverted.tif", tiff(16, 0, 1, b"".join(struct.pack("<H", 65535 - (at(x, y)[0] << 8)) for y in range(H) for x in range(W))),
    known=[at(x, y)[0] for y in range(H) for x in range(W) for _ in range(3)])
put("deep-cmyk.tif", tiff(16, 5, 4, (rgb16 * 2)[:8 * W * H]), asked=False)
put("inverted.tif", tiff(8, 0, 1, bytes(at(x, y)[0] for y in range(H) for x in range(W))))
put("planes.tif", tiff(8, 2, 3, bytes(at(x, y)[c] for c in range(3) for y in range(H) for x in range(W)), planar=2))
put("large.tif", b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0" + b"\0" * 8, asked=False)
save("pages.tif", scene, "TIFF", save_all=True, append_images=[other])
save("cmyk.tif", scene.convert("CMYK"), "TIFF")
save("float.tif", scene.convert("L").convert("F"), "TIFF", asked=False)
for n in range(1, 9):
    save(f"turned-{n}.tif", scene, "TIFF", exif=exif(n))

# BMP
save("colour.bmp", scene, "BMP")
save("grey.bmp", scene.convert("L"), "BMP")
save("one-bit.bmp", scene.convert("1"), "BMP")
save("palette.bmp", scene.quantize(16), "BMP")

# WebP
save("colour.webp", smooth, "WEBP", quality=95)
save("lossless.webp", scene, "WEBP", lossless=True)
save("alpha.webp", Image.merge("RGBA", (*scene.split(), scene.getchannel(1).point(lambda v: max(v, 1)))), "WEBP", lossless=True, exact=True)
for n in range(1, 9):
    save(f"turned-{n}.webp", scene, "WEBP", lossless=True, exif=exif(n))
save("animated.webp", scene, "WEBP", lossless=True, save_all=True, append_images=[other], duration=100, asked=False)

# Others
save("animated.gif", scene, "GIF", save_all=True, append_images=[other], duration=100, asked=False)
save("portable.ppm", scene, "PPM", asked=False)
save("jpeg2000.jp2", scene, "JPEG2000", asked=False)

with open("pillow.json", "w") as f:
    json.dump(files, f, indent=1, sort_keys=True)
    f.write("\n")
