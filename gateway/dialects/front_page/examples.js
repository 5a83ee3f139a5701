/** Texts that show something at the first click. */

export const EXAMPLES = [
  {
    title: "Three subjects",
    hint: "Nine sentences about the sea, the kitchen and the night sky. Do they find one another?",
    view: "compare",
    texts: [
      "The fishing boats left the harbour before dawn.",
      "A strong wind kept the ferry in port all day.",
      "Sailors watch the tide tables closely.",
      "Let the dough rest for an hour before you bake it.",
      "She seasoned the soup with thyme and lemon.",
      "Fry the onions slowly until they turn golden.",
      "Jupiter's moons are visible through a small telescope.",
      "The comet will not return for another eighty years.",
      "Astronomers measured the light of a distant star.",
    ],
  },
  {
    title: "Same word, other meaning",
    hint: "“Bank”, “bat” and “spring” mean two things each. The vectors know which.",
    view: "compare",
    texts: [
      "The bank raised its interest rates again.",
      "She deposited the cheque at her bank.",
      "We had a picnic on the bank of the river.",
      "A bat flew out of the cave at dusk.",
      "He swung the bat and missed the ball.",
      "Wild flowers come up in spring.",
      "The spring in the old mattress is broken.",
    ],
  },
  {
    title: "Late chunking",
    hint: "“The city” in a sentence of its own could be any. Read in context it is Berlin.",
    view: "chunks",
    query: "Berlin",
    texts: [
      "Berlin is the capital and largest city of Germany, by both area and population.",
      "Its more than 3.85 million inhabitants make it the European Union's most populous city.",
      "The city is also one of the states of Germany.",
      "In the summer its lakes and parks are full of people.",
    ],
  },
];

/** Offered where a reranker is chosen. */
export const RANKING_EXAMPLE = {
  title: "A question and its answers",
  hint: "Which of six sentences says when ice melts?",
  query: "At what temperature does ice melt?",
  texts: [
    "Water freezes, and ice melts, at zero degrees Celsius.",
    "Ice cream was sold on the promenade all summer.",
    "The melting point of a pure substance depends on pressure.",
    "Glaciers in the Alps have lost a third of their volume.",
    "She put two cubes of ice into the glass.",
    "Salt lowers the temperature at which ice melts.",
  ],
};
