/** Texts that show something at the first click. */

export const EXAMPLES = [
  {
    title: "Three subjects",
    picture: "groups",
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
      "Through the telescope we saw a comet with a long tail.",
      "Astronomers measured the light of a distant star.",
    ],
  },
  {
    title: "Word or meaning",
    picture: "pairs",
    hint: "Does “bank” find the other “bank”, or the sentence that means the same without the word?",
    view: "compare",
    texts: [
      "The bank raised its interest rates again.",
      "Lenders now charge more for a loan.",
      "We had a picnic on the bank of the river.",
      "They ate their lunch at the water's edge.",
      "A bat flew out of the cave at dusk.",
      "Small winged mammals leave their roost at nightfall.",
      "He swung the bat and missed the ball.",
      "The baseball player struck out.",
    ],
  },
  {
    title: "Late chunking",
    picture: "shift",
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
  picture: "ranking",
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
