"""What XMP says: of other parts of a file and of the picture's size, made true for a file that holds one picture; and
what made it, for which there is a name of our own.
"""

import re
from xml.dom import minidom
from xml.parsers.expat import ExpatError
from xml.sax.saxutils import escape, unescape

MAX_BYTES = 4 << 20
ALL = ""
# How namespaces begin, and the names in them that speak of what a result has not: films and pictures behind the
# picture, gain and depth maps, thumbnails, and a second packet.
GONE = {
    "http://ns.google.com/photos/1.0/camera/": ("MicroVideo", "MotionPhoto"),
    "http://ns.google.com/photos/1.0/container/": (ALL,),
    "http://ns.google.com/photos/1.0/depthmap/": (ALL,),
    "http://ns.google.com/photos/1.0/image/": (ALL,),
    "http://ns.google.com/photos/1.0/audio/": (ALL,),
    "http://ns.google.com/photos/dd/1.0/": (ALL,),
    "http://ns.oplus.com/photos/1.0/camera/": ("MotionPhoto", "OLivePhoto", "VideoLength"),
    "http://ns.xiaomi.com/photos/1.0/camera/": (ALL,),
    "http://ns.adobe.com/hdr-gain-map/1.0/": (ALL,),
    "http://ns.apple.com/HDRGainMap/1.0/": (ALL,),
    "http://ns.apple.com/pixeldatainfo/1.0/": (ALL,),
    "http://ns.adobe.com/xmp/note/": ("HasExtendedXMP",),
    "http://ns.adobe.com/xap/1.0/": ("Thumbnails",),
}
MENTIONED = re.compile("|".join(re.escape(uri) for uri in GONE if "xap" not in uri).encode() + rb"|\bThumbnails\b")
DECLARATIONS = "http://www.w3.org/2000/xmlns/"
SIDES = re.compile(rb"""(:(?:PixelX|PixelY|ImageWidth|ImageLength)\w*(?:\s*=\s*["']|>))\s*\d+(?=\s*["'<])""")
# Of a panorama: its size, and that of the whole of which it is a part.
PANORAMA = re.compile(rb"""(:(?:FullPano|CroppedArea)\w+Pixels(?:\s*=\s*["']|>))\s*(\d{1,9})(?=\s*["'<])""")
PANORAMA_WIDTH = re.compile(rb""":CroppedAreaImageWidthPixels(?:\s*=\s*["']|>)\s*(\d{1,9})""")


def honest(packet: bytes) -> bytes:
    """The packet, in UTF-8, without what it says of parts that are gone; one that says nothing of them stays as it is.

    Raises:
        ValueError: it speaks of them and cannot be read.
    """
    if packet[:2] in (b"\xff\xfe", b"\xfe\xff"):
        packet = packet.decode("utf-16").encode()
    if not MENTIONED.search(packet):
        return packet
    if len(packet) > MAX_BYTES or b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        raise ValueError("too large, or of a kind that XMP is not")
    try:
        document = minidom.parseString(packet.strip(b"\0 \r\n\t"))
        for element in list(document.getElementsByTagName("*")):
            for attribute in list(element.attributes.values()):
                declares = attribute.namespaceURI == DECLARATIONS and _gone(attribute.value) == (ALL,)
                if declares or _is_gone(attribute.namespaceURI, attribute.localName):
                    element.removeAttributeNode(attribute)
            above = element.parentNode
            if above and above is not document and _is_gone(element.namespaceURI, element.localName):
                above.removeChild(element)
        return "\n".join(node.toxml() for node in document.childNodes).encode()
    except (ExpatError, RecursionError, UnicodeError) as error:
        raise ValueError(str(error)) from None


def _is_gone(uri: str | None, name: str | None) -> bool:
    return (name or "").startswith(_gone(uri or ""))


def _gone(uri: str) -> tuple[str, ...]:
    """How names of a namespace begin that are gone; a namespace may be one within another."""
    return next((names for above, names in GONE.items() if uri.startswith(above)), ())


def settled(packet: bytes, size: tuple[int, int]) -> bytes:
    """The packet with the picture's (H, W) where it names one, and with a panorama's place in the same proportion."""
    height, width = (str(side).encode() for side in size)
    packet = SIDES.sub(lambda found: found[1] + (width if b"X" in found[1] or b"Width" in found[1] else height), packet)
    named = PANORAMA_WIDTH.search(packet)
    if named and int(named[1]) not in (0, size[1]):
        scale = size[1] / int(named[1])
        packet = PANORAMA.sub(lambda found: found[1] + str(round(int(found[2]) * scale)).encode(), packet)
    return packet


MADE_NAMESPACE = "urn:irsde:made:1"
MADE = re.compile(
    rb"\s*<rdf:Description[^<>]*" + MADE_NAMESPACE.encode() + rb"[^<>]*>\s*<irsde:Made>([^<]*)</irsde:Made>"
    rb".*?</rdf:Description>",
    re.DOTALL,
)
END = b"</rdf:RDF>"
MOST_MADE = 65000
EMPTY = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n</rdf:RDF>\n</x:xmpmeta>\n<?xpacket end="w"?>'
)
# Of the IPTC, for pictures that a program has worked on; pictures keep what they say themselves.
SOURCE = "Iptc4xmpExt:DigitalSourceType"
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def with_made(packet: bytes | None, text: str, source: str) -> bytes | None:
    """The packet with a record of what made its picture, in place of an earlier one.

    Args:
        packet: in UTF-8, or `None`; one whose end is written in another way, or that would not fit into a JPEG any
            more, stays as it is.
        text: the record.
        source: its digital source type, by the IPTC's name; one that is there already stays.
    """
    plain = MADE.sub(b"", packet or EMPTY)
    if END not in plain:
        return packet
    said = "" if SOURCE.encode() in plain else f"<{SOURCE}>{SOURCE_TYPES}{source}</{SOURCE}>\n"
    description = (
        f'<rdf:Description rdf:about="" xmlns:irsde="{MADE_NAMESPACE}" '
        'xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">\n'
        f"<irsde:Made>{escape(text)}</irsde:Made>\n{said}</rdf:Description>\n"
    )
    before, _, after = plain.rpartition(END)
    made = before + description.encode() + END + after
    return made if len(made) <= MOST_MADE else packet


def made(packet: bytes | None) -> str | None:
    """The record of what made the picture of a packet."""
    found = MADE.search(packet or b"")
    return None if found is None else unescape(found[1].decode("utf-8", "replace"))
