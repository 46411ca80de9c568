const settings = {
  responsive: true,
  displaylogo: false,
  displayModeBar: window.innerWidth < 600 ? false : "hover",
  modeBarButtonsToRemove: ["select2d", "lasso2d"],
};
for (const [id, views] of Object.entries(charts)) {
  const show = (nth) => Plotly.react(id, views[nth].figure.data, views[nth].figure.layout, settings);
  const choice = document.querySelector(`select[data-chart=${id}]`);
  if (choice) choice.addEventListener("change", () => show(choice.value));
  show(0);
}
