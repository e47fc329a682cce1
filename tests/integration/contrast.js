// Texts whose contrast with what is behind them is below 4.5:1 (WCAG 2.2, 1.4.3), as a browser has drawn them.
() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const read = (colour, under) => {
    canvas.clearRect(0, 0, 1, 1);
    if (under) { canvas.fillStyle = `rgb(${under})`; canvas.fillRect(0, 0, 1, 1); }
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const behind = (element) => {
    const above = [];
    for (let each = element; each; each = each.parentElement) above.unshift(getComputedStyle(each).backgroundColor);
    return above.reduce((under, colour) => read(colour, under), [255, 255, 255]);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility({ opacityProperty: true }) || element.closest(".unseen, option")) continue;
    const under = behind(element);
    const [one, other] = [light(under), light(read(getComputedStyle(element).color, under))].sort((a, b) => b - a);
    if ((one + 0.05) / (other + 0.05) < 4.5) found.push(`${walker.currentNode.data.trim().slice(0, 40)}: ${((one + 0.05) / (other + 0.05)).toFixed(2)}`);
  }
  return [...new Set(found)];
}
