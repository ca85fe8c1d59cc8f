"""The picture of the imports, as SVG."""

from docs.generator.imports import FLOOR, FLOORS, arrows, direct

WIDTH, HEIGHT = 124, 34  # of a room, in pixels
COLUMN, ROW = 300, 78  # from room to room
MARGIN = 20
NOTE = (
  'A room imports from rooms below it. Left out: arrows that',
  'a chain of others implies (all may import errors), and tests.',
)
STYLE = 'font-family="sans-serif" font-size="16" text-anchor="middle"'


def svg() -> str:
  """Every room in a box, an arrow to each that it imports from."""
  graph = direct(arrows())
  places = {room: place(room) for room in graph}
  width = 2 * MARGIN + 2 * COLUMN + WIDTH
  height = 2 * MARGIN + (len(FLOORS) - 1) * ROW + HEIGHT + 60
  lines = [
    f'<line x1="{x1}" y1="{y1 + HEIGHT // 2}" x2="{x2}" '
    f'y2="{y2 - HEIGHT // 2 - 3}" stroke="#777" stroke-width="1.5" '
    'marker-end="url(#head)"/>'
    for here in graph
    for (x1, y1), (x2, y2) in (
      (places[here], places[there]) for there in sorted(graph[here])
    )
  ]
  boxes = [
    f'<rect x="{x - WIDTH // 2}" y="{y - HEIGHT // 2}" width="{WIDTH}" '
    f'height="{HEIGHT}" rx="6" fill="#eaf1f8" stroke="#0072b2"/>'
    f'<text x="{x}" y="{y + 5}" {STYLE}>{room}</text>'
    for room, (x, y) in places.items()
  ]
  notes = [
    f'<text x="{width // 2}" y="{height - 46 + 22 * i}" {STYLE}>{line}</text>'
    for i, line in enumerate(NOTE)
  ]
  return '\n'.join(
    [
      f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
      f'height="{height}" viewBox="0 0 {width} {height}">',
      '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" '
      'markerWidth="8" markerHeight="8" orient="auto">'
      '<path d="M 0 0 L 10 5 L 0 10 z" fill="#777"/></marker></defs>',
      f'<rect width="{width}" height="{height}" fill="white"/>',
      *lines,
      *boxes,
      *notes,
      '</svg>\n',
    ]
  )


def place(room: str) -> tuple[int, int]:
  """The centre of a room: three columns; a lone room is in the middle one."""
  floor = FLOORS[FLOOR[room]]
  column = floor.index(room) + (len(floor) < 3)
  x = MARGIN + WIDTH // 2 + COLUMN * column
  y = MARGIN + HEIGHT // 2 + ROW * (len(FLOORS) - 1 - FLOOR[room])
  return x, y
